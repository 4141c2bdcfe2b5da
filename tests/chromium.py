"""A headless Chromium that opens a page and reports its complaints, size, text, and a screenshot.

Chromium speaks the DevTools protocol over file descriptors 3 and 4, as JSON documents that end in NUL. No package is needed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
COMPLAINTS = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Audits.issueAdded"}
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


def find_chromium() -> str | None:
    """Return the installed browser, or None. With CI=true a missing browser is an error."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert browser or os.environ.get("CI") != "true", "no Chromium on this machine: apt-get install chromium"
    return browser


@dataclass(frozen=True)
class Look:
    """The state of a page at one width."""

    complaints: list[str]  # console messages, exceptions, violations of the content security policy
    width: int  # of the content; if it exceeds the window's, the page scrolls sideways
    height: int
    text: str


class Browser:
    """A Chromium with one tab. As a context manager it closes the browser on exit."""

    def __init__(self, program: str, folder: Path) -> None:
        reads, self._write = os.pipe()
        self._read, writes = os.pipe()

        def give_pipes() -> None:
            os.dup2(reads, 53)  # out of the way first: 3 and 4 may be among the four
            os.dup2(writes, 54)
            os.dup2(53, 3)
            os.dup2(54, 4)

        command = [program, *SWITCHES, f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            command, preexec_fn=give_pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(reads)
        os.close(writes)
        self._number, self._buffer, self._events = 0, b"", list[dict[str, Any]]()
        targets = self._send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Audits"):
            self._send(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.kill()
        self._process.wait()

    def look(self, page: Path | str, width: int, picture: Path | None = None, *, dark: bool = False) -> Look:
        """Open a file or an address in a window of `width` pixels, and save a full screenshot as `picture`."""
        self._events.clear()
        phone = width < 600
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1 + phone, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])
        self._send("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self._wait_for("Page.loadEventFired")
        root = "document.documentElement"
        found = self.value(f"[{root}.scrollWidth, {root}.scrollHeight, document.body.innerText]")
        if picture is not None:
            clip = {"x": 0, "y": 0, "width": width, "height": min(found[1], 12_000), "scale": 1}
            shot = self._send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            picture.write_bytes(base64.b64decode(shot["data"]))
        complaints = [json.dumps(event) for event in self._events if event["method"] in COMPLAINTS]
        return Look(complaints, *found)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the open page, as plain data."""
        return self._send("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _wait_for(self, method: str) -> None:
        while not any(event["method"] == method for event in self._events):
            self._events.append(self._next())

    def _send(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._read, 1 << 20)
            assert data, "the browser is gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        document: dict[str, Any] = json.loads(message)
        return document
