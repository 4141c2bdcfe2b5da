"""Prefetched batches equal those drawn on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from jitkit.errors import Stopped
from jitkit.protocols import NoiseSchedule
from jitkit.testing.toys import toy_codec
from jitkit.training.tasks.denoising import Prefetcher
from jitkit_plugins.schedules.adaptive import Adaptive
from jitkit_plugins.schedules.flow import Flow
from tests.training_lab import Lab, StopAt, digest, metrics


def test_a_prefetched_batch_is_used_once_and_only_for_its_step() -> None:
    drawn: list[int] = []

    def draw(step: int) -> Any:
        drawn.append(step)
        return step

    batches = Prefetcher(draw, ahead=True)
    assert batches.batch(0) == 0
    batches.prefetch(1)
    assert drawn == [0, 1]
    assert batches.batch(1) == 1
    assert batches.batch(1) == 1
    batches.prefetch(2)
    assert batches.batch(7) == 7
    assert drawn == [0, 1, 1, 2, 7]
    lazy = Prefetcher(draw, ahead=False)
    lazy.prefetch(8)
    assert drawn[-1] == 7


LEARNING = Adaptive().build(toy_codec())


@pytest.mark.parametrize(
    ("device", "schedule", "ahead"), [("cpu", Flow(), False), ("cuda", Flow(), True), ("cuda", LEARNING, False)]
)
def test_batches_are_prefetched_on_a_gpu_unless_the_schedule_learns(
    device: str, schedule: NoiseSchedule, ahead: bool
) -> None:
    drawn: list[int] = []

    def draw(step: int) -> Any:
        drawn.append(step)
        return step

    Prefetcher.of_training(draw, schedule, torch.device(device)).prefetch(3)
    assert drawn == ([3] if ahead else [])


@pytest.mark.parametrize("settings", [(), ("train.accumulate=2",)])
def test_prefetching_does_not_change_a_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    """Also if it is stopped in the middle, which loses a prefetched batch, and resumed."""
    plain = lab.train("plain", *settings).folder
    monkeypatch.setattr(Prefetcher, "of_training", lambda draw, schedule, device: Prefetcher(draw, ahead=True))
    with pytest.raises(Stopped):
        lab.train("ahead", *settings, plugins=(StopAt(7),))
    ahead: Path = lab.train("ahead", *settings, resume="auto").folder
    last = "checkpoint_epoch_3.pth"
    assert digest(plain / last) == digest(ahead / last)
    assert metrics(plain) == metrics(ahead)
