"""Training and sampling times from one quantile function: sampling steps are smallest where training is densest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TICKS = 2**24  # float32 holds every multiple of 1 / TICKS in [0, 1] exactly

Quantile = Callable[[Tensor], Tensor]
"""Maps a share to the time below which it lies: increasing, float64 of any shape, [0, 1] to [0, 1]."""


def draw(quantile: Quantile, num: int, generator: torch.Generator) -> Tensor:
    """Return `num` times [num] float32 in (0, 1), on the CPU.

    Stratified: one from each of `num` intervals of equal probability, in random order. Each time follows the density;
    stratification makes the loss of a batch less noisy (Kingma et al. 2021, appendix I.1).
    """
    strata = torch.randperm(num, generator=generator)
    jitter = torch.rand(num, generator=generator, dtype=torch.float64)
    t = quantile((strata + jitter) / num).float()
    return t.clamp(1 / TICKS, 1 - 1 / TICKS)  # rounding must not reach the ends


def grid(quantile: Quantile, num_steps: int) -> Tensor:
    """Return the quantiles at 0, 1/n, ..., 1 for n = `num_steps`: [n + 1] float32 from exactly 0 to exactly 1."""
    steps = torch.arange(num_steps + 1)
    ticks = (quantile(steps.double() / num_steps) * TICKS).round().long()
    ticks[0], ticks[-1] = 0, TICKS
    # Move equal quantiles apart by the least amount that makes the grid rise strictly.
    ticks = (ticks - steps).cummax(0).values + steps
    ticks = ticks.minimum(TICKS - num_steps + steps)
    return (ticks.double() / TICKS).float()
