"""How far another draw of the same number of samples would move a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
TAILS = (0.025, 0.975)
NORMAL = 1.959964  # quantile of the normal distribution at the upper tail


def ratio_with_interval(
    name: str, numerators: Sequence[float], denominators: Sequence[float], seed: int
) -> dict[str, float]:
    """Return sum(numerators) / sum(denominators) as `name`, and its 95 % interval as `name_low` and `name_high`.

    Each pair is of one sample; a mean has denominators of 1. The interval is the percentile bootstrap over samples (Efron
    1979), from `RESAMPLES` resamples that follow from the seed and not from the order. Nothing is returned where there is
    nothing to divide by, and no interval for a single sample, which says nothing of another.
    """
    pairs = np.array(sorted(zip(numerators, denominators, strict=True)), dtype=np.float64).reshape(-1, 2)
    if not pairs[:, 1].sum():
        return {}
    figure = {name: float(pairs[:, 0].sum() / pairs[:, 1].sum())}
    num = len(pairs)
    if num < 2:
        return figure
    tops, bottoms = (_resamples(num, seed) @ pairs).T
    low, high = np.quantile(tops[bottoms > 0] / bottoms[bottoms > 0], TAILS)
    return {**figure, f"{name}_low": float(low), f"{name}_high": float(high)}


@lru_cache(maxsize=4)
def _resamples(num: int, seed: int) -> npt.NDArray[np.float64]:
    """Return how often each of `num` samples is in each resample, [RESAMPLES, num]."""
    return np.random.default_rng(seed).multinomial(num, np.full(num, 1 / num), RESAMPLES).astype(np.float64)


def mean_with_interval(name: str, values: Sequence[float], seed: int) -> dict[str, float]:
    """Return the mean of `values`, one a sample, as `ratio_with_interval` does."""
    return ratio_with_interval(name, values, [1.0] * len(values), seed)


def jackknifed(name: str, figure: float, without: Sequence[float], most: float = 1.0) -> dict[str, float]:
    """Return `figure` as `name`, and its 95 % interval within [0, `most`], as `ratio_with_interval` does.

    `without` are the same figure with each of some equal groups of samples left out (the grouped jackknife, Quenouille
    1956): for figures that count repetition between samples, which a bootstrap would bring about itself. It rather
    overstates the spread (Efron and Stein 1981).
    """
    num = len(without)
    if num < 2:
        return {name: figure}
    mean = math.fsum(without) / num
    half = NORMAL * math.sqrt((num - 1) / num * math.fsum((each - mean) ** 2 for each in without))
    return {name: figure, f"{name}_low": max(0.0, figure - half), f"{name}_high": min(most, figure + half)}


def share_with_interval(name: str, flags: Sequence[bool]) -> dict[str, float]:
    """Return the share of `flags` that are true as `name`, and its 95 % interval, as `ratio_with_interval` does.

    The interval is Wilson's (1927): that none of a few is true does not mean that none ever is.
    """
    num = len(flags)
    if not num:
        return {}
    share, spread = sum(flags) / num, NORMAL**2 / num
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return {name: share, f"{name}_low": max(0.0, middle - half), f"{name}_high": min(1.0, middle + half)}
