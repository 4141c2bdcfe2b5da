"""How many bits a model needs, at most, to say a window of text.

A denoiser defines a distribution over images, and with the codec one over texts: start from noise, follow the reverse
diffusion that it stands for up to some t_end, and read each token there. Its exact likelihood cannot be had, an upper
bound of the bits can (Kingma et al. 2021, "Variational diffusion models", 2107.00630, equations 11 to 18, with time turned
round). In units of nats, for an image ``x = encode(tokens)`` and ``z_t = alpha x + sigma noise``, noise ~ N(0, s^2 I)
with s = noise_scale, the signal-to-noise ratio of the path is::

    snr(t) = alpha(t)^2 / (sigma(t) s)^2

and for every t_end::

    - log p(tokens)  <=  prior + diffusion + reconstruction                                                      (1)

    prior          = KL( q(z_0 | x) || N(0, s^2 I) )
    diffusion      = 1/2 integral from 0 to t_end of snr'(t) E |x - x_hat(z_t, t)|^2 dt
    reconstruction = E [ - log p(tokens | z_end) ]

*Where the middle term comes from.* Between t and a later t' the reverse process that the denoiser stands for is the
forward one's posterior q(z_t' | z_t, x) with x_hat for x. Both are Gaussians of one variance, and the KL divergence of two
such is ``(snr(t') - snr(t)) |x - x_hat|^2 / 2``; infinitely many steps make the integral. It depends on path and
noise_scale through snr alone, so it is an integral over snr (Guo, Shamai and Verdu 2005: for the posterior mean it is the
mutual information of x and z_end, and (1) is an equation).

*Prior.* Every schedule has alpha(0) = 0: z_0 is noise, whatever x is, and the term is 0.

*Reconstruction.* p(tokens | z_end) is the contextless reading, a softmax over `token_logits` for each token, which is a
distribution. Any t_end gives a bound. It is put where that reading is certain (`LEAST_DOUBT`), which follows from codec
and schedule alone: before it, this term pays for what context would have known; behind it, the integral pays for errors of
the network that no longer change any token.

*Estimate.* The integral over snr, up to S at t_end, takes ``num_times`` values of snr for each window, with density
``1 / ((c + snr) log(1 + S / c))``, dense where the error is large: it falls no slower than 1 / (1 + snr) for data of
variance 1, and is spent long before S, so c = min(1, S / 30). They are the quantiles of evenly spaced numbers, moved by
one random offset a window (a stratified sample), and the estimate is unbiased whatever c is.

A pixel that belongs to no token is the same in every image; the reverse process need not guess it, and it is not counted.
With self-conditioning the estimate is that of the second pass, ``x_hat(z, t, x_hat(z, t))``, which is a function of z as
well. All positions are paid for, padding too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from jitkit.diffusion.context_free import uniform_tokens
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.evaluation.at_once import windows_at_once
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.evaluation.validation import evaluating
from jitkit.protocols import Codec, NoiseSchedule

LEAST_DOUBT = 1e-4  # bits a token, of equally likely tokens, that the contextless reading leaves at t_end
SNR_RATIO = 2**0.25  # of the values of snr that are tried for t_end
LARGEST_SNR = 1e9
KNEE = 1 / 30  # of S: nearer to noise than that, places are even in snr, beyond it in its logarithm


class Bound(NamedTuple):
    """What each window costs, in bits, [N] float64 each; the two add up to the bound."""

    diffusion: Tensor
    reconstruction: Tensor


@torch.inference_mode()
def likelihood_bound(
    denoiser: Denoiser,
    windows: Tensor,
    *,
    seed: int,
    batch_size: int,
    num_times: int = 8,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> Bound:
    """Return the bound (1) for `windows` [N, L] int64, see above; noise belongs to a window. `advance` is told images."""
    end = PathEnd.of(denoiser.codec, denoiser.schedule)
    with evaluating(denoiser.network):
        parts = [
            _bound(denoiser, rows, end, seed, num_times, device, advance) for rows in torch.split(windows, batch_size)
        ]
    return Bound(*(torch.cat(column) / math.log(2) for column in zip(*parts, strict=True)))


def time_of(snr: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return the times t [n] float64 at which ``alpha / (sigma noise_scale)`` is the square root of `snr` [n] >= 0."""
    ratio = snr.double().sqrt()
    low, high = torch.zeros_like(ratio), torch.ones_like(ratio)
    for _ in range(60):
        middle = (low + high) / 2
        at = schedule.levels(middle)
        below = at.alpha < ratio * at.sigma * schedule.noise_scale
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class PathEnd:
    """Where the integral ends and the tokens are read."""

    snr: float
    t: float

    @classmethod
    def of(cls, codec: Codec, schedule: NoiseSchedule) -> PathEnd:
        """Return the first place, of a fine grid, at which the contextless reading leaves less than `LEAST_DOUBT`."""
        generator = torch.Generator().manual_seed(0)
        tokens = uniform_tokens(codec, min(2048, windows_at_once(1, codec.vocab_size)), generator)
        x = codec.encode(tokens)
        noise = torch.randn(x.shape, generator=generator)
        first = 1 / 16 / codec.margin**2  # so noisy that neighbours cannot be told apart, and little else

        def is_certain(step: int) -> bool:
            snr = first * SNR_RATIO**step
            sigma = torch.full((len(x),), snr**-0.5)
            bits = reading(codec, tokens, x + snr**-0.5 * noise, sigma).sum() / tokens.numel() / math.log(2)
            return bool(bits < LEAST_DOUBT)

        steps = range(math.ceil(math.log(max(1, LARGEST_SNR / first), SNR_RATIO)))
        snr = first * SNR_RATIO ** bisect_left(steps, True, key=is_certain)  # less noise, less doubt
        return cls(snr, float(time_of(torch.tensor([snr]), schedule)[0]))


def _bound(
    denoiser: Denoiser,
    tokens: Tensor,
    end: PathEnd,
    seed: int,
    num_times: int,
    device: torch.device | str,
    advance: Callable[[int], None] | None,
) -> tuple[Tensor, Tensor]:
    """Return diffusion and reconstruction of a batch, in nats, [B] float64 each, on the CPU."""
    codec, schedule = denoiser.codec, denoiser.schedule
    generators = window_generators(seed, tokens, "likelihood")
    offsets = torch.cat([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    tokens = tokens.to(device)
    x = codec.encode(tokens)
    counted = codec.pixel_mask(torch.ones_like(tokens, dtype=torch.bool)).float()

    def noised(t: Tensor) -> Tensor:
        noise = draw_noise(generators, codec.image_size, schedule.noise_scale).to(device)
        return interpolate(x, noise, levels_at(schedule, t.to(device)))

    knee = min(1.0, KNEE * end.snr)
    length = math.log1p(end.snr / knee)  # of the integral over log(1 + snr / knee)
    diffusion = torch.zeros(len(tokens), dtype=torch.float64)
    for index in range(num_times):
        snr = knee * torch.expm1((index + offsets) / num_times * length)
        t = time_of(snr, schedule).float()
        errors = (counted * (x - denoiser.self_conditioned(noised(t), t.to(device)))).flatten(1).square().sum(1)
        diffusion += errors.double().cpu() / 2 * (knee + snr) * length / num_times
        if advance:
            advance(len(tokens))
    at = schedule.levels(torch.tensor(end.t))
    z = noised(torch.full((len(tokens),), end.t))
    sigma = (at.sigma * schedule.noise_scale / at.alpha).to(device).expand(len(tokens))
    return diffusion, reading(codec, tokens, z / at.alpha.to(device), sigma).double().cpu()


def reading(codec: Codec, tokens: Tensor, image: Tensor, sigma: Tensor) -> Tensor:
    """Return the nats [B] of `tokens` [B, L] read from `image` = x + sigma N(0, I) [B, 3, H, W], each for itself."""
    at_once = windows_at_once(codec.capacity, codec.vocab_size)
    nats = [
        F.cross_entropy(codec.token_logits(y, s).transpose(1, 2), ids, reduction="none").sum(1)
        for ids, y, s in zip(*(torch.split(whole, at_once) for whole in (tokens, image, sigma)), strict=True)
    ]
    return torch.cat(nats)
