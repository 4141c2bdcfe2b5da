"""Run a jitkit command in a forked copy of this process, which saves the 3 seconds of importing torch each time."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ADDRESS_SPACE = (
    4 << 30
)  # bytes that a command may map in addition to what this process has mapped: protects the machine
MAX_OUTPUT = 1 << 20  # bytes kept of stdout and of stderr


@dataclass(frozen=True)
class Outcome:
    """How a command ended. `code` is None if it was killed after the time limit; `memory` is in bytes, above the start."""

    code: int | None
    seconds: float
    memory: int
    stdout: str
    stderr: str


def run_forked(arguments: Sequence[str], folder: Path, seconds: float) -> Outcome:
    """Run `jitkit ARGUMENTS` in `folder`, and kill it after `seconds`.

    The caller must have imported jitkit and must not have started threads.
    """
    outputs = folder / ".stdout", folder / ".stderr"
    before, started = _resident(), time.monotonic()
    child = os.fork()
    if child == 0:
        _child(arguments, folder, outputs)
    timed_out = not _wait(child, seconds)
    if timed_out:
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    stdout, stderr = (_read(path) for path in outputs)
    code = None if timed_out else os.waitstatus_to_exitcode(status)
    memory = max(0, usage.ru_maxrss * 1024 - before)
    return Outcome(code, time.monotonic() - started, memory, stdout, stderr)


def _child(arguments: Sequence[str], folder: Path, outputs: tuple[Path, Path]) -> NoReturn:
    """Become the command. Never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        files = (Path(os.devnull), os.O_RDONLY), *((path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for path in outputs)
        for number, (path, flags) in enumerate(files):
            os.dup2(os.open(path, flags, 0o600), number)
        limit = _mapped() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["jitkit", *arguments]
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115, PTH123
        from jitkit.cli import main

        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue
        os._exit(code)


def _wait(child: int, seconds: float) -> bool:
    """Wait until a child has ended, and return whether it has."""
    descriptor = os.pidfd_open(child)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_OUTPUT).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
