"""The entropy rate: the information gained per unit of log-SNR, on bins of log-SNR.

With ``z / alpha = x + noise / snr`` and ``snr = alpha / (sigma noise_scale)``, the information in z about x grows by

    dI / d log snr  =  snr^2 E(x - x_hat)^2          nats per number of the image

where x_hat is the posterior mean (Guo, Shamai and Verdu 2005: dI / d snr^2 is half the squared error). The squared error of
an estimate is therefore sufficient, for any objective and any path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.diffusion.context_free import error_under_noise, uniform_tokens
from jitkit.protocols import Codec

WIDTH = 0.25
EDGES = torch.arange(-6, 10 + WIDTH / 2, WIDTH, dtype=torch.float64)  # of the bins of log-SNR [65]
CENTERS = (EDGES[1:] + EDGES[:-1]) / 2  # [64]
NUM_TOKENS = 512  # for each point of a context-free error curve, at least
MIN_MASS = 1e-9  # of a bin; makes the quantile function invertible


def context_free_errors(codec: Codec) -> Tensor:
    """Return the squared error of the context-free estimate in each bin [64] float64.

    A function of the codec: tokens and noise come from a generator with a fixed seed.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = uniform_tokens(codec, NUM_TOKENS, generator)
    sigmas = (-CENTERS).exp().tolist()
    errors = [error_under_noise(codec, sigma, tokens, generator) for sigma in sigmas]
    return torch.tensor(errors, dtype=torch.float64)


def entropy_rate(errors: Tensor) -> Tensor:
    """Return the entropy rate in each bin [64], in nats per unit of log-SNR, from the squared errors there."""
    return (2 * CENTERS).exp() * errors.clamp(min=0)


def bin_of(log_snr: Tensor) -> Tensor:
    """Return the bin index of each log-SNR, int64; values beyond the edges belong to the outer bins."""
    return ((log_snr - EDGES[0]) / WIDTH).floor().clamp(0, len(CENTERS) - 1).long()


@dataclass(frozen=True)
class Histogram:
    """A density of log-SNR that is constant in each bin, proportional to `weights` [64] float64 >= 0."""

    weights: Tensor

    def quantile(self, share: Tensor) -> Tensor:
        """Return the log-SNR below which `share` (float64 in [0, 1]) lies."""
        mass = self.weights / self.weights.sum() + MIN_MASS
        below = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
        share = share * below[-1]
        index = (torch.searchsorted(below, share, right=True) - 1).clamp(max=len(mass) - 1)
        return EDGES[index] + (share - below[index]) / mass[index] * WIDTH


@dataclass(frozen=True)
class GumbelDensity:
    """A density of log(noise / signal) with its long tail towards noise: log(1 / snr^2) ~ Gumbel(location, scale)."""

    location: float
    scale: float

    @classmethod
    def with_moments_of(cls, weights: Tensor) -> GumbelDensity:
        """Return the density with the mean and standard deviation of the histogram with these weights."""
        share, log_nsr = weights / weights.sum(), -2 * CENTERS
        mean = float(share @ log_nsr)
        variance = float(share @ (log_nsr - mean).square()) + (2 * WIDTH) ** 2 / 12  # within the bins
        scale = math.sqrt(6 * variance) / math.pi
        return cls(mean - 0.5772156649015329 * scale, scale)  # Euler's constant: the mean of the standard Gumbel

    def quantile(self, share: Tensor) -> Tensor:
        """Return the log-SNR below which `share` (float64 in [0, 1]) lies; minus or plus infinity at the ends."""
        return -0.5 * (self.location - self.scale * (-torch.log1p(-share)).log())
