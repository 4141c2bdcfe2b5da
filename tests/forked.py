"""Commands that run in forked copies of a process that has imported jitkit, which saves the seconds of importing torch.

A forked command is a process of its own, with its own files, signals, and exit code. A process that forks must have imported
jitkit, must run torch with one thread, and must not have started threads.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jitkit
import jitkit_plugins
from jitkit.cli import main

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
    """Run `jitkit ARGUMENTS` in `folder` with limited memory, and kill it after `seconds`."""
    outputs = folder / ".stdout", folder / ".stderr"
    before, started = _resident(), time.monotonic()
    child = fork_command(arguments, folder, outputs, dict(os.environ), _mapped() + ADDRESS_SPACE)
    timed_out = not _wait(child, seconds)
    if timed_out:
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    stdout, stderr = (_read(path) for path in outputs)
    code = None if timed_out else os.waitstatus_to_exitcode(status)
    memory = max(0, usage.ru_maxrss * 1024 - before)
    return Outcome(code, time.monotonic() - started, memory, stdout, stderr)


def fork_command(
    arguments: Sequence[str],
    folder: Path,
    outputs: tuple[Path | int, Path | int],
    environment: Mapping[str, str],
    address_space: int = resource.RLIM_INFINITY,
) -> int:
    """Start `jitkit ARGUMENTS` in `folder` with stdout and stderr in `outputs`, files or descriptors; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(folder)
            _redirect(outputs)
            resource.setrlimit(resource.RLIMIT_AS, (address_space, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = ["jitkit", *arguments]
            code = _main()
        finally:
            os._exit(code)
    return child


def import_everything() -> None:
    """Import all of jitkit and its plugins, so that forked commands start at once."""
    for package in (jitkit, jitkit_plugins):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _redirect(outputs: tuple[Path | int, Path | int]) -> None:
    """Read from /dev/null, and write to files or descriptors."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, output in enumerate(outputs, start=1):
        new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(output if isinstance(output, int) else os.open(output, new, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115, PTH123
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _main() -> int:
    """Run the command line and return its exit code."""
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0


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
