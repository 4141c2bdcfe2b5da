"""A power law through measured costs: cost = unit * product of (size / base) ^ exponent, one size changed at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """What is expected of the cost at any sizes."""

    unit: float  # at the base
    exponents: Mapping[str, float]

    def at(self, factors: Mapping[str, float]) -> float:
        """Return the cost where each named size is so many times that of the base."""
        return self.unit * math.prod(factor ** self.exponents[name] for name, factor in factors.items())


def fit(rows: Mapping[str, Sequence[tuple[float, float]]]) -> Law:
    """Return the law of least squares of logarithms; `rows` has, by the name of a size, pairs of (factor, cost).

    Every size has the base, factor 1, among at least two rows; the law goes through their mean there.
    """
    unit = math.exp(_mean([math.log(cost) for row in rows.values() for factor, cost in row if factor == 1]))
    exponents = {}
    for name, row in rows.items():
        across = [math.log(factor) for factor, _ in row]
        up = [math.log(cost / unit) for _, cost in row]
        exponents[name] = sum(x * y for x, y in zip(across, up, strict=True)) / sum(x * x for x in across)
    return Law(unit, exponents)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
