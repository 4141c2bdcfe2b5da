"""A section ends in time on any machine: nothing is repeated after its deadline, and large batches become smaller."""

from __future__ import annotations

import time

import pytest
import torch

from jitkit.bench import target
from jitkit.bench.target import build_target
from jitkit.bench.timing import Spread, repeat, time_limit


def test_nothing_is_repeated_after_the_deadline() -> None:
    calls = []

    def slow() -> int:
        calls.append(time.sleep(0.05))
        return len(calls)

    with time_limit(0.01):
        assert repeat(slow) == [1]
    with time_limit(0.07):
        assert len(repeat(slow)) <= 2
    assert len(repeat(slow)) >= 3, "the limit ends with its context"


@pytest.mark.slow
def test_a_batch_that_would_take_too_long_becomes_smaller(make, monkeypatch: pytest.MonkeyPatch) -> None:
    components, notes = make("train.batch_size=64").setup.components, list[str]()

    def built(step_seconds: float) -> int:
        found = build_target(components, torch.device("cpu"), note=notes.append, step_seconds=step_seconds)
        assert found.estimate.batch_size == found.setup.train.batch_size
        return found.setup.train.batch_size

    assert built(1e9) == 64
    monkeypatch.setattr(target, "measure_seconds", lambda *_: Spread(1e3, 1e3, 1e3))  # a slow machine
    assert built(1e-9) == 1
    assert "measuring batches of 1 image: a step of 64 would take about" in notes[-1]
