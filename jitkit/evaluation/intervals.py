"""95 % intervals: how much a figure would vary over other samples of the same size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
TAILS = (0.025, 0.975)
NORMAL = 1.959964  # upper quantile of the normal distribution


def ratio_with_interval(
    name: str, numerators: Sequence[float], denominators: Sequence[float], seed: int
) -> dict[str, float]:
    """Return sum(numerators) / sum(denominators) as `name`, and its 95 % interval as `name_low` and `name_high`.

    Each pair belongs to one sample. The interval is the percentile bootstrap over samples (Efron 1979), which depends on
    the seed and not on the order. The result is empty if the denominators sum to zero, and has no interval for a single
    sample.
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
    """Return the mean of `values`, one per sample, like `ratio_with_interval`."""
    return ratio_with_interval(name, values, [1.0] * len(values), seed)


def jackknife_interval(name: str, figure: float, without: Sequence[float], maximum: float = 1.0) -> dict[str, float]:
    """Return `figure` as `name`, and its 95 % interval within [0, `maximum`], like `ratio_with_interval`.

    `without` holds the figure without each of several equal groups of samples (grouped jackknife, Quenouille 1956). It is
    for figures that count repetition between samples, which a bootstrap would itself create, and tends to overestimate
    the spread (Efron and Stein 1981).
    """
    num = len(without)
    if num < 2:
        return {name: figure}
    mean = math.fsum(without) / num
    half = NORMAL * math.sqrt((num - 1) / num * math.fsum((each - mean) ** 2 for each in without))
    return {name: figure, f"{name}_low": max(0.0, figure - half), f"{name}_high": min(maximum, figure + half)}


def share_with_interval(name: str, flags: Sequence[bool]) -> dict[str, float]:
    """Return the share of `flags` that are true as `name`, and its 95 % interval, like `ratio_with_interval`.

    Uses Wilson's interval (1927): a share of 0 in few samples does not mean 0 in all.
    """
    num = len(flags)
    if not num:
        return {}
    share, spread = sum(flags) / num, NORMAL**2 / num
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return {name: share, f"{name}_low": max(0.0, middle - half), f"{name}_high": min(1.0, middle + half)}
