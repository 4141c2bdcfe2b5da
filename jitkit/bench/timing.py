"""Times: repeated, as a median with the least and the greatest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from jitkit.execution.device import seconds

T = TypeVar("T")

LEAST_REPEATS, MOST_REPEATS = 3, 9
LONG = 20.0  # seconds
PATIENCE = 1.0  # seconds after which nothing is repeated beyond the least number


@dataclass(frozen=True)
class Spread:
    """Some measurements of one thing."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def over(self, parts: float) -> Spread:
        """Return the spread of one of so many equal parts."""
        return Spread(self.median / parts, self.least / parts, self.most / parts)

    def per(self, amount: float) -> Spread:
        """Return, for times, the rate of `amount` things in each."""
        return Spread(amount / self.median, amount / self.most, amount / self.least)


def repeated(action: Callable[[], object], device: torch.device) -> Spread:
    """Return how many seconds `action` takes, once warm."""
    return Spread.of(repeatedly(lambda: seconds(action, device)))


def repeatedly(measure: Callable[[], T]) -> list[T]:
    """Return what `measure` says, several times; the first time, where caches are cold and code is compiled, is left out.

    What takes longer than `LONG` even when warm is done twice in all: being cold is nothing beside that.
    """
    cold, cold_seconds = _timed(measure)
    warm, warm_seconds = _timed(measure)
    if min(cold_seconds, warm_seconds) > LONG:
        return [cold, warm]
    found, taken = [warm], warm_seconds
    while len(found) < LEAST_REPEATS or (len(found) < MOST_REPEATS and taken < PATIENCE):
        again, more = _timed(measure)
        found.append(again)
        taken += more
    return found


def _timed(measure: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return measure(), time.perf_counter() - started


def as_json(**values: Spread | float | str) -> dict[str, object]:
    """Return values by name, a `Spread` as its median; "spread" has the least and the greatest of each of those."""
    medians = {name: value.median if isinstance(value, Spread) else value for name, value in values.items()}
    spread = {name: [value.least, value.most] for name, value in values.items() if isinstance(value, Spread)}
    return {**medians, "spread": spread}
