"""Batches drawn ahead are those drawn when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from jitkit.errors import Stopped
from jitkit.protocols import NoiseSchedule
from jitkit.testing.toys import toy_codec
from jitkit.training.prefetch import Prefetcher
from jitkit_plugins.schedules.adaptive import Adaptive
from jitkit_plugins.schedules.flow import Flow
from tests.training_lab import Lab, StopAt, digest, metrics


def test_a_batch_is_drawn_once_and_that_of_another_step_anew() -> None:
    drawn: list[int] = []

    def draw(step: int) -> Any:
        drawn.append(step)
        return step

    feed = Prefetcher(draw, ahead=True)
    assert feed.batch(0) == 0
    feed.prefetch(1)
    assert drawn == [0, 1]
    assert feed.batch(1) == 1
    assert feed.batch(1) == 1
    feed.prefetch(2)
    assert feed.batch(7) == 7
    assert drawn == [0, 1, 1, 2, 7]
    lazy = Prefetcher(draw, ahead=False)
    lazy.prefetch(8)
    assert drawn[-1] == 7


LEARNING = Adaptive().build(toy_codec())


@pytest.mark.parametrize(
    ("device", "schedule", "ahead"), [("cpu", Flow(), False), ("cuda", Flow(), True), ("cuda", LEARNING, False)]
)
def test_a_gpu_gets_its_batches_ahead_unless_a_schedule_learns(
    device: str, schedule: NoiseSchedule, ahead: bool
) -> None:
    drawn: list[int] = []

    def draw(step: int) -> Any:
        drawn.append(step)
        return step

    Prefetcher.of_training(draw, schedule, torch.device(device)).prefetch(3)
    assert drawn == ([3] if ahead else [])


@pytest.mark.parametrize("settings", [(), ("train.accumulate=2",)])
def test_a_run_that_draws_ahead_is_the_same_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    """Stopped and continued in the middle, too, where a batch was ready and is lost."""
    plain = lab.train("plain", *settings).folder
    monkeypatch.setattr(Prefetcher, "of_training", lambda draw, schedule, device: Prefetcher(draw, ahead=True))
    with pytest.raises(Stopped):
        lab.train("ahead", *settings, plugins=(StopAt(7),))
    ahead: Path = lab.train("ahead", *settings, resume="auto").folder
    last = "checkpoint_epoch_3.pth"
    assert digest(plain / last) == digest(ahead / last)
    assert metrics(plain) == metrics(ahead)
