"""Batches, one a step, ready before they are asked for where that can be."""

from __future__ import annotations

from collections.abc import Callable

from jitkit.training.batches import Batch


class Feed:
    """The batches of a run. With `ahead`, the next one is drawn while a GPU is busy with the last: `prepare` says when."""

    def __init__(self, draw: Callable[[int], Batch], *, ahead: bool) -> None:
        self._draw, self._ahead = draw, ahead
        self._next: tuple[int, Batch] | None = None

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        ready, self._next = self._next, None
        return ready[1] if ready is not None and ready[0] == step else self._draw(step)

    def prepare(self, step: int) -> None:
        """Draw the batch of a step, if it is worth it."""
        if self._ahead:
            self._next = step, self._draw(step)
