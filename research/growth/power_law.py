"""Fit of a power law to measured costs: cost = unit * product of (size / base size) ^ exponent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class PowerLaw:
    """A fitted cost as a function of sizes relative to the base."""

    unit: float  # cost at the base
    exponents: Mapping[str, float]  # by the name of a size

    def at(self, factors: Mapping[str, float]) -> float:
        """Return the cost if each named size is multiplied by its factor."""
        cost: float = self.unit * math.prod(factor ** self.exponents[name] for name, factor in factors.items())
        return cost


def fit(rows: Mapping[str, Sequence[tuple[float, float]]]) -> PowerLaw:
    """Return the least-squares fit to log costs. `rows` has pairs (factor, cost) by the name of the size that changes.

    Each size needs at least two rows, one of them at factor 1. The fit passes through the mean of those.
    """
    unit = math.exp(fmean(math.log(cost) for row in rows.values() for factor, cost in row if factor == 1))
    exponents = {}
    for name, row in rows.items():
        x = [math.log(factor) for factor, _ in row]
        y = [math.log(cost / unit) for _, cost in row]
        exponents[name] = sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x)
    return PowerLaw(unit, exponents)
