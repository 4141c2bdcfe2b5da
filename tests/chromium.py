"""A real browser, asked through its own pipe: which page it shows, what it complains of, and what it looks like.

Chromium speaks the DevTools protocol over file descriptors 3 and 4, JSON documents ended by NUL, so that no package is needed.
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
    """Return the browser of this machine; where everything has to be tested (CI=true), a machine has one."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert browser or os.environ.get("CI") != "true", "no Chromium on this machine: apt-get install chromium"
    return browser


@dataclass(frozen=True)
class Look:
    """What a page was like at one width."""

    complaints: list[str]  # console messages, exceptions, violations of the content security policy
    width: int  # of the content; more than the window's is a page that scrolls sideways
    height: int
    text: str


class Browser:
    """One Chromium with one tab, for as long as the block lasts."""

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
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Audits"):
            self._ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.kill()
        self._process.wait()

    def look(self, page: Path, width: int, picture: Path | None = None, *, dark: bool = False) -> Look:
        """Open a page in a window of `width` pixels, and photograph all of it."""
        self._events.clear()
        phone = width < 600
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1 + phone, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=page.resolve().as_uri())
        self._wait_for("Page.loadEventFired")
        root = "document.documentElement"
        found = self._value(f"[{root}.scrollWidth, {root}.scrollHeight, document.body.innerText]")
        if picture is not None:
            clip = {"x": 0, "y": 0, "width": width, "height": min(found[1], 12_000), "scale": 1}
            shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            picture.write_bytes(base64.b64decode(shot["data"]))
        complaints = [json.dumps(event) for event in self._events if event["method"] in COMPLAINTS]
        return Look(complaints, *found)

    def _value(self, expression: str) -> Any:
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _wait_for(self, method: str) -> None:
        while not any(event["method"] == method for event in self._events):
            self._events.append(self._next())

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
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
