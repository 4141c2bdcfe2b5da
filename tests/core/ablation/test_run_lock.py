"""Several processes carry out one grid: each run once, none twice, and the same comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit import hookimpl
from jitkit.ablation.run_lock import try_lock
from jitkit.errors import ResourceError, UsageError
from tests.core.ablation.conftest import GRID, Workbench
from tests.core.ablation.test_run import state

pytestmark = pytest.mark.slow

RUN = "train.lr=0.001/seed-1"


def test_a_claim_is_for_one_at_a_time(tmp_path: Path) -> None:
    with try_lock(tmp_path / "grid" / "seed-1") as first, try_lock(tmp_path / "grid" / "seed-1") as second:
        assert (first, second) == (True, False)
    with try_lock(tmp_path / "grid" / "seed-1") as again:
        assert again


def test_two_processes_do_every_run_once_and_the_same_comes_out(bench: Workbench, tmp_path: Path) -> None:
    bench.run()
    alone, page = state(bench.out), (bench.out / "results.md").read_text()
    bench.out.rename(tmp_path / "alone")
    command = [sys.executable, "-m", "jitkit", "ablate", "grid.toml", "--out", "out", "--device", "cpu"]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: sums of other parts are other sums
    workers = [subprocess.Popen(command, cwd=bench.home, env=one, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(worker.communicate(timeout=300)[1] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sorted(re.findall(r"(\d) of 4: [^:\n]*\n", said)) == ["1", "2", "3", "4"], (
        "each is trained by one of the two"
    )
    assert state(bench.out) == alone
    assert (bench.out / "results.md").read_text() == page.replace(str(bench.home / "grid.toml"), "grid.toml")


def test_what_another_process_works_at_is_left_to_it(bench: Workbench) -> None:
    with try_lock(bench.out / RUN):
        document = bench.run()
    assert document["rows"][0]["seeds"] == {"1": "waiting", "2": "trained"}
    assert "1 of 4: train.lr=0.001, seed 1: another process works at it" in bench.said()
    assert bench.run()["rows"][0]["seeds"] == {"1": "trained", "2": "trained"}


def test_a_run_that_another_process_works_at_is_not_replaced(bench: Workbench) -> None:
    bench.run()
    before, changed = state(bench.out), GRID.replace("train.epochs=1", 'train.epochs=1", "train.ema=[0.9]')
    with try_lock(bench.out / RUN), pytest.raises(ResourceError, match="another process works at"):
        bench.run(changed, accept_changes=True)
    assert state(bench.out) == before
    bench.run()


def test_a_grid_that_another_process_has_changed_is_given_up(bench: Workbench) -> None:
    class Other:
        @hookimpl
        def jitkit_evaluated(self) -> None:
            bench.run(GRID.replace("[1, 2]", "[1, 3]"), accept_changes=True)

    with pytest.raises(UsageError, match="another process has changed"):
        bench.run(plugins=(Other(),))
    assert "seeds 1, 3" in (bench.out / "results.md").read_text(), "the results of the other stay"


def test_processes_that_train_one_model_are_refused(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UsageError, match=r"torchrun.*share the runs of a grid"):
        bench.run()
    assert not bench.out.exists()
