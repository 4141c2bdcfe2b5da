"""Worker processes that do not mind signals meant for their parent, from the moment they exist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal
from pathlib import Path
from jitkit.data.worker_processes import run_in_processes

def work(share, report):
    for number in share:
        Path(f"{number}.done").touch()
        report(1)

if __name__ == "__main__":
    stops = []
    signal.signal(signal.SIGINT, lambda number, frame: stops.append(number))
    Path("ready").touch()
    run_in_processes(work, [[0], [1]], lambda done: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(len(stops))
"""


@pytest.mark.slow
def test_a_signal_while_workers_start_reaches_only_their_parent(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "program.py"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to all processes
        try:
            process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
    out, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert int(out) > 0
    assert {path.name for path in tmp_path.glob("*.done")} == {"0.done", "1.done"}
