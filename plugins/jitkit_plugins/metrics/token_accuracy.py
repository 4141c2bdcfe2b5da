"""The share of tokens that come back as they were."""

from __future__ import annotations

from torch import Tensor

from jitkit.evaluation.intervals import ratio_with_interval


def kept(name: str, found: Tensor, expected: Tensor, counted: Tensor, seed: int) -> dict[str, float]:
    """Return the share of the `counted` [N, L] places where `found` is as `expected`, with its interval over windows."""
    right = ((found == expected) & counted).sum(1)
    return ratio_with_interval(name, right.tolist(), counted.sum(1).tolist(), seed)
