"""Drawing the next batch while a GPU is busy with the current one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch

from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.training.batches import Batch


class Prefetcher:
    """The batches of a run. With `ahead`, `prefetch` draws the next one early."""

    def __init__(self, draw: Callable[[int], Batch], *, ahead: bool) -> None:
        self._draw, self._ahead = draw, ahead
        self._next: tuple[int, Batch] | None = None

    @classmethod
    def of_training(cls, draw: Callable[[int], Batch], schedule: NoiseSchedule, device: torch.device) -> Self:
        """Return the batches of a run on `device`, drawn ahead on a GPU unless the schedule learns from each step."""
        return cls(draw, ahead=device.type != "cpu" and not isinstance(schedule, LearnedSchedule))

    def batch(self, step: int) -> Batch:
        """Return the batch of step `step`."""
        ready, self._next = self._next, None
        return ready[1] if ready is not None and ready[0] == step else self._draw(step)

    def prefetch(self, step: int) -> None:
        """Draw the batch of step `step` now if batches are drawn ahead."""
        if self._ahead:
            self._next = step, self._draw(step)
