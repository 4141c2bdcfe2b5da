"""Runs that torchrun restarts: lost processes, lost machines."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from jitkit.training.run_state import RUN_STATE
from tests.core.training.test_lost_ranks import Ranks, metrics, newest, ranks, state
from tests.training_lab import digest

__all__ = ["ranks"]  # the fixture

pytestmark = pytest.mark.slow

SETTINGS = ("train.accumulate=2", "train.compile=off", "train.epochs=24", "train.validate_every=12")
RESTART = 30.0  # seconds until a restarted run trains again


def kill_and_wait(ranks: Ranks, rank: int, restarts: int) -> float:
    """Kill a rank after some steps; return the seconds until the restarted run has taken steps."""
    folder = ranks.lab.home / "run"
    ranks.wait_until(lambda: state(folder).restarts == restarts and state(folder).step > 0)
    before = state(folder).step
    ranks.wait_until(lambda: state(folder).step > before)  # a checkpoint later
    killed = time.monotonic()
    os.kill(ranks.pid(rank), signal.SIGKILL)
    ranks.wait_until(lambda: state(folder).restarts == restarts + 1)
    reached = state(folder).step
    ranks.wait_until(lambda: state(folder).step > reached)
    return time.monotonic() - killed


def test_a_run_survives_the_loss_of_each_rank_and_equals_an_uninterrupted_one(ranks: Ranks) -> None:
    """The model is split, so a lost process loses its part, and the run goes on from its last checkpoint."""
    settings, run = (*SETTINGS, "parallel.shard=2"), ranks.lab.home / "run"
    ranks.start(*settings, launcher=("--standalone", "--max-restarts", "2"))
    ranks.wait_for_steps()
    assert kill_and_wait(ranks, 0, 0) < RESTART
    assert kill_and_wait(ranks, 1, 1) < RESTART
    output = ranks.end()
    assert ranks.process.returncode == 0, output
    assert output.count("torchrun has restarted the run, which implies --resume auto") == 2
    found = state(run)
    assert (found.state, found.restarts, found.exit_code) == ("finished", 2, 0)
    restarted = run.rename(ranks.lab.home / "restarted")
    ranks.run(*settings)
    assert metrics(restarted) == metrics(run)
    assert digest(newest(restarted)) == digest(newest(run))


def test_a_restart_does_not_touch_the_run_of_another_launch(ranks: Ranks) -> None:
    ranks.lab.train("run", *SETTINGS, "train.epochs=2")
    before = {path.name: path.read_bytes() for path in (ranks.lab.home / "run").iterdir()}
    output = ranks.run(*SETTINGS, launcher=("--standalone", "--max-restarts", "1"))
    lines = [line for line in output.splitlines() if "error: run: found a run in this folder" in line]
    assert len(lines) == 2, output
    assert {path.name: path.read_bytes() for path in (ranks.lab.home / "run").iterdir()} == before


AGENTS = (
    "--nnodes=1:2",
    "--rdzv-backend=c10d",
    "--max-restarts=3",
    "--rdzv-conf=last_call_timeout=8,keep_alive_interval=1,keep_alive_max_attempt=3",
)


def test_the_other_agent_finishes_a_run_when_one_is_lost(ranks: Ranks) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
    launcher, folder = (*AGENTS, f"--rdzv-endpoint={endpoint}", f"--rdzv-id={endpoint}"), ranks.lab.home / "run"
    lost = Ranks(ranks.lab, installed=True)
    ranks.start(*SETTINGS, size=1, launcher=launcher)
    ranks.wait_until(lambda: _is_open(endpoint))  # the first agent keeps the store of the rendezvous
    lost.start(*SETTINGS, size=1, launcher=launcher)
    ranks.wait_until(lambda: (folder / RUN_STATE).exists() and state(folder).step > 0)
    assert state(folder).world_size == 2
    (worker,) = (ranks.pid(rank) for rank in (0, 1) if _parent(ranks.pid(rank)) == lost.process.pid)
    killed = time.monotonic()
    lost.process.kill()
    os.kill(worker, signal.SIGKILL)
    lost.process.communicate()
    ranks.wait_until(lambda: state(folder).world_size == 1)
    reached = state(folder).step
    ranks.wait_until(lambda: state(folder).step > reached)
    assert time.monotonic() - killed < 60
    output = ranks.end()
    assert ranks.process.returncode == 0, output
    assert (state(folder).state, metrics(folder)[-1]["step"]) == ("finished", 124)


def _is_open(endpoint: str) -> bool:
    host, port = endpoint.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
