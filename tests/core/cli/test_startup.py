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


def ending(setup: str) -> str:
    """Return what a process prints that runs `setup` and then `jitkit --version`, which must succeed."""
    command = [sys.executable, "-c", f"{setup}\n{script()}", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_command_ends_without_freeing_its_objects() -> None:
    """With torch's half a million, that takes 0.1 s, and a thread of gloo could abort the process meanwhile."""
    freed = "import sys; sys.last = type('Last', (), {'__del__': lambda self: print('freed', flush=True)})()"
    assert "freed" not in ending(freed)


def test_what_a_command_has_begun_is_finished_before_it_ends() -> None:
    late = "lambda: (time.sleep(0.3), print('written'))"
    assert "written" in ending(f"import threading, time; threading.Thread(target={late}).start()")
    assert "cleaned up" in ending("import atexit; atexit.register(lambda: print('cleaned up'))")


def test_the_collector_leaves_out_modules() -> None:
    """It is paused while they are imported: a search of torch's takes 0.1 s, and longer the more often it is begun."""
    code = (
        "import gc; from jitkit.interpreter import collector_paused\n"
        "with collector_paused():\n"
        "    before = gc.get_stats(); import torch; searches = gc.get_stats() != before\n"
        "print(searches, gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False", "True", "True"]
