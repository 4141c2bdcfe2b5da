"""Several processes share one grid: each run is trained once, with the same results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit import hookimpl
from jitkit.ablation.folder import try_lock
from jitkit.errors import ResourceError, UsageError
from tests.core.ablation.conftest import GRID, Workbench
from tests.core.ablation.test_run import state

pytestmark = pytest.mark.slow

RUN = "train.lr=0.001/seed-1"


def test_a_lock_is_held_once_at_a_time(tmp_path: Path) -> None:
    with try_lock(tmp_path / "grid" / "seed-1") as first, try_lock(tmp_path / "grid" / "seed-1") as second:
        assert (first, second) == (True, False)
    with try_lock(tmp_path / "grid" / "seed-1") as again:
        assert again


def test_two_processes_train_every_run_once_with_the_same_results(bench: Workbench, tmp_path: Path) -> None:
    bench.run()
    alone, page = state(bench.out), (bench.out / "results.md").read_text()
    bench.out.rename(tmp_path / "alone")
    command = [sys.executable, "-m", "jitkit", "ablate", "grid.toml", "--out", "out", "--device", "cpu"]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: the number of threads changes the order of sums
    workers = [subprocess.Popen(command, cwd=bench.home, env=one, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    output = "".join(worker.communicate(timeout=300)[1] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], output
    assert sorted(re.findall(r"(\d) of 4: [^:\n]*\n", output)) == ["1", "2", "3", "4"], (
        "each run is trained by one process"
    )
    assert state(bench.out) == alone
    assert (bench.out / "results.md").read_text() == page.replace(str(bench.home / "grid.toml"), "grid.toml")


def test_a_locked_run_is_skipped(bench: Workbench) -> None:
    with try_lock(bench.out / RUN):
        document = bench.run()
    assert document["rows"][0]["seeds"] == {"1": "waiting", "2": "trained"}
    assert "1 of 4: train.lr=0.001, seed 1: another process works on it" in bench.output()
    assert bench.run()["rows"][0]["seeds"] == {"1": "trained", "2": "trained"}


def test_a_locked_run_is_not_replaced(bench: Workbench) -> None:
    bench.run()
    before, changed = state(bench.out), GRID.replace("train.epochs=1", 'train.epochs=1", "train.ema=[0.9]')
    with try_lock(bench.out / RUN), pytest.raises(ResourceError, match="another process works on"):
        bench.run(changed, accept_changes=True)
    assert state(bench.out) == before
    bench.run()


def test_a_grid_changed_by_another_process_is_an_error(bench: Workbench) -> None:
    class Other:
        @hookimpl
        def jitkit_evaluated(self) -> None:
            bench.run(GRID.replace("[1, 2]", "[1, 3]"), accept_changes=True)

    with pytest.raises(UsageError, match="changed by another process"):
        bench.run(plugins=(Other(),))
    assert "seeds 1, 3" in (bench.out / "results.md").read_text(), "the results of the other process stay"


def test_torchrun_is_refused(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UsageError, match=r"torchrun.*share the runs of a grid"):
        bench.run()
    assert not bench.out.exists()
