"""Repeated measurements, summarized by median, minimum, and maximum."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import torch

from jitkit.execution.device import seconds, synchronize

T = TypeVar("T")

_deadline: ContextVar[float] = ContextVar("_deadline", default=float("inf"))  # on the monotonic clock

MIN_REPEATS, MAX_REPEATS = 3, 9
LONG = 20.0  # seconds from which a measurement is made only twice
ENOUGH = 1.0  # total seconds after which `MIN_REPEATS` suffice


@dataclass(frozen=True)
class Spread:
    """The median and range of several measurements."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def rate(self, amount: float) -> Spread:
        """Return the rate of `amount` items in each of these times."""
        return Spread(amount / self.median, amount / self.max, amount / self.min)


class Laps:
    """Stopwatch for the parts of a step; synchronizes the device after each part."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._started = time.perf_counter()

    def __call__(self, part: str) -> None:
        """Add the time since the last call to `part`."""
        synchronize(self._device)
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._started
        self._started = now


def measure_seconds(action: Callable[[], object], device: torch.device, *, calls: int = 1) -> Spread:
    """Return how long `action` takes once warm, as the mean of several consecutive `calls`."""

    def act() -> None:
        for _ in range(calls):
            action()

    return Spread.of([taken / calls for taken in repeat(lambda: seconds(act, device))])


def repeat(measure: Callable[[], T]) -> list[T]:
    """Return several results of `measure`. The first is dropped: caches are cold, and code is compiled.

    If one takes longer than `LONG` even when warm, the first two are returned. After the deadline of `time_limit`, nothing
    is repeated, so that the first may be the only one.
    """
    cold, cold_seconds = _timed(measure)
    if _is_over():
        return [cold]
    warm, warm_seconds = _timed(measure)
    if min(cold_seconds, warm_seconds) > LONG:
        return [cold, warm]
    found, taken = [warm], warm_seconds
    while not _is_over() and (len(found) < MIN_REPEATS or (len(found) < MAX_REPEATS and taken < ENOUGH)):
        again, more = _timed(measure)
        found.append(again)
        taken += more
    return found


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Repeat measurements inside this context for `seconds` at most."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def _is_over() -> bool:
    return time.monotonic() > _deadline.get()


def _timed(measure: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return measure(), time.perf_counter() - started


def as_json(**values: Spread | float | str) -> dict[str, object]:
    """Return values by name, a `Spread` as its median. The key "spread" holds the range of each of those."""
    medians = {name: value.median if isinstance(value, Spread) else value for name, value in values.items()}
    spread = {name: [value.min, value.max] for name, value in values.items() if isinstance(value, Spread)}
    return {**medians, "spread": spread}
