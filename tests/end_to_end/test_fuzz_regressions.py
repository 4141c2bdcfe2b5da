"""Files on which a command misbehaved once, found by the nightly fuzzer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_files_that_once_broke_a_command_are_handled() -> None:
    command = [sys.executable, "-m", "tests.nightly.fuzz", "--regressions"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
