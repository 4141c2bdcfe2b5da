"""The first moments of a command: the script that `pip` installs, and Ctrl-C while modules are imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


LISTEN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a job in the background ignores it
)


def script() -> str:
    """Return what the script `jitkit` that `pip` writes does."""
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["jitkit"]
    module, function = entry.split(":")
    return f"from {module} import {function}; {function}()"


def test_a_stop_during_the_imports_is_no_traceback() -> None:
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-c",
        LISTEN + script(),
        "data",
        "inspect",
        "jit-nano",
        "--data",
        "-",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
    assert process.stderr
    while "typer" not in process.stderr.readline():  # the first of its modules: most are still to come
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()  # closes stdin
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors


def test_no_garbage_is_collected_before_a_command_ends() -> None:
    """With torch's half a million objects, that would take 0.3 s. Functions of `atexit` run before the last collections."""
    watch = "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects())))"
    completed = subprocess.run(
        [sys.executable, "-c", f"{watch}; {script()}", "--version"], capture_output=True, text=True, check=True
    )
    left = int(completed.stdout.splitlines()[-1])
    assert left < 1000, "gc.get_objects() leaves out frozen objects"
