"""Mean and Student's t confidence interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

INTERVAL = "95 %, Student's t over seeds"


def mean_and_interval(values: Sequence[float]) -> dict[str, float]:
    """Return `mean`, and the bounds `low` and `high` of its 95 % interval by Student's t (1908).

    A bootstrap would underestimate the spread, since there are only a few seeds. A single value has no interval.
    """
    middle = mean(values)
    if len(values) < 2:
        return {"mean": middle}
    half = t_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return {"mean": middle, "low": middle - half, "high": middle + half}


def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t with `degrees` of freedom, for a `probability` in [0.5, 1)."""
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(100):  # bisection, to more digits than a float has
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, degrees) < probability else (low, middle)
    return high


def _t_cdf(t: float, degrees: int) -> float:
    """Return the probability of a value below t >= 0 (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for index in range(1 + odd, degrees, 2):
        total += term
        term *= index / (index + 1) * math.cos(angle) ** 2
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2
