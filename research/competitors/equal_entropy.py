"""Comparison at equal entropy.

An n-gram model scores monotonous text well, so its bits per character mean something only next to the entropy of the text.
Each model is measured at several sampler settings, and settings can be mixed: if a share w of the texts comes from one
setting and the rest from another, mean bits and mean entropy are the same mixture. Every point between two measured ones is
therefore achievable, and the lowest one at a given entropy is the best that the model can do there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple


class ScoredSetting(NamedTuple):
    """The scores of one setting: means over texts, in bits per character."""

    entropy: float
    bits: float


def bits_at_entropy(settings: Sequence[ScoredSetting], entropy: float) -> float | None:
    """Return the lowest bits of a mixture of two settings with this `entropy`, or None if it is out of reach."""
    bits = [
        low.bits + share * (high.bits - low.bits)
        for low, high in combinations_with_replacement(sorted(settings), 2)
        if low.entropy <= entropy <= high.entropy
        for share in [(entropy - low.entropy) / ((high.entropy - low.entropy) or 1)]
    ]
    return min(bits, default=None)
