"""Comparison at equal entropy: what a model's texts cost when their characters are as varied as those of another's.

A judge finds monotonous text cheap, so bits a character mean something only beside the entropy. A model is measured at
several settings of its sampler, and settings can be mixed: of a share w of the texts from one and the rest from another,
mean bits and mean entropy are the same mixture of theirs. So every point between two measured ones can be had, and the
lowest at an entropy is what the model can do there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple


class Point(NamedTuple):
    """A setting, measured: means over texts, in bits a character."""

    entropy: float
    bits: float


def bits_at(points: Sequence[Point], entropy: float) -> float | None:
    """Return the least bits of a mixture of two of the `points` that has this `entropy`; None where it is out of reach."""
    found = [
        low.bits + share * (high.bits - low.bits)
        for low, high in combinations_with_replacement(sorted(points), 2)
        if low.entropy <= entropy <= high.entropy
        for share in [(entropy - low.entropy) / ((high.entropy - low.entropy) or 1)]
    ]
    return min(found, default=None)
