"""The mean over seeds and how far other seeds would move it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

INTERVAL = "95 %, Student's t over seeds"


def mean_with_interval(values: Sequence[float]) -> dict[str, float]:
    """Return `mean`, and the bounds `low` and `high` of its 95 % interval by Student's t (1908).

    Seeds are few, and a bootstrap of three values knows nothing of their tails. There is no interval for a single value,
    which says nothing of another.
    """
    middle = mean(values)
    if len(values) < 2:
        return {"mean": middle}
    half = quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return {"mean": middle, "low": middle - half, "high": middle + half}


def quantile(share: float, freedom: int) -> float:
    """Return the value that a t variable of `freedom` degrees stays below with probability `share` in [0.5, 1)."""
    low, high = 0.0, 1.0
    while _below(high, freedom) < share:
        high *= 2
    for _ in range(100):  # each halves the bracket: far beyond what a float holds
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, freedom) < share else (low, middle)
    return high


def _below(t: float, freedom: int) -> float:
    """Return the probability of a value below t >= 0 (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for index in range(1 + odd, freedom, 2):
        total += term
        term *= index / (index + 1) * math.cos(angle) ** 2
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2
