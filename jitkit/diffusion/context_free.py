"""What can be read without any network: every model must beat it.

An image z at time t, divided by alpha, is the clean image plus Gaussian noise. Reading it codeword by codeword, each for
the nearest one, gives the *contextless line*: the token accuracy that the codec alone owes to the noise being small.
The mean of all codewords, each by how well it explains its pixels, is the *contextless estimate*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.diffusion.process import levels_at
from jitkit.protocols import Codec, NoiseSchedule
from jitkit.protocols.codec import EVERYWHERE

LEAST_ALPHA = 1e-6  # at t = 0 nothing of the image is left, and nothing can be divided by it
LEAST_NOISE = 1e-3  # codewords are a byte's step apart or more, which is then read with odds of e^30 or more


def context_free_logits(
    z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec, places: slice = EVERYWHERE
) -> Tensor:
    """Return log p(z | v) of each token v at each place, up to a constant: [B, L, V] float32 for `z` [B, 3, H, W] at `t` [B].

    At `places` only, where not at all.

    In ``z = alpha c + sigma noise`` the codeword c has the log-likelihood
    ``- |z - alpha c|^2 / (2 sigma^2 noise_scale^2)`` (the matched filter of CoBit, 2605.07013).
    """
    return codec.token_logits(*_as_read(z, t, schedule), places)


def context_free_estimate(z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return the mean image [B, 3, H, W] of what each place of `z` says of its token, all tokens being equally likely.

    At t = 0 it is the mean codeword everywhere, near t = 1 the image itself: the size of its numbers says how sure they are.
    """
    return codec.posterior_mean(*_as_read(z, t, schedule)).to(z.dtype)


def _as_read(z: Tensor, t: Tensor, schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
    """Return `z` as a clean image plus noise, and the standard deviation [B] of that noise."""
    at = levels_at(schedule, t)
    alpha = at.alpha.clamp(min=LEAST_ALPHA)
    noise = (at.sigma * schedule.noise_scale / alpha).clamp(min=LEAST_NOISE)
    return z / alpha, noise.flatten()


def uniform_tokens(codec: Codec, num_tokens: int, generator: torch.Generator) -> Tensor:
    """Return images of at least `num_tokens` tokens in all [B, L] int64, every id equally likely."""
    num_images = -(-num_tokens // codec.capacity)
    return torch.randint(codec.vocab_size, (num_images, codec.capacity), generator=generator)


def context_free_accuracy(
    codec: Codec, schedule: NoiseSchedule, t: float, tokens: Tensor, generator: torch.Generator
) -> float:
    """Return the share of `tokens` [B, L] int64 that is read right from their noised images at time `t`.

    A Monte Carlo estimate; the noise comes from `generator`, a CPU generator.
    """
    alpha, sigma, *_ = schedule.levels(torch.tensor(t, dtype=torch.float64))
    noise = sigma.item() * schedule.noise_scale / max(alpha.item(), LEAST_ALPHA)
    return accuracy_under_noise(codec, noise, tokens, generator)


def accuracy_under_noise(codec: Codec, sigma: float, tokens: Tensor, generator: torch.Generator) -> float:
    """Return the share of `tokens` [B, L] int64 that survives Gaussian noise of deviation `sigma`, in units of x."""
    right = 0
    for part in torch.split(tokens, max(1, 2**20 // codec.image_size**2)):  # about 12 MB of images at once
        image = codec.encode(part)
        noise = torch.randn(image.shape, generator=generator).to(image.device)
        right += int((codec.decode(image + sigma * noise) == part).sum())
    return right / tokens.numel()


def error_under_noise(codec: Codec, sigma: float, tokens: Tensor, generator: torch.Generator) -> float:
    """Return the mean squared error, a number of the image, of the best guess at an image under noise of deviation `sigma`.

    The guess knows the codebook and that ids are equally likely, and looks at each token's own pixels: the mean of all
    codewords, weighted by how well they explain what is seen. No network that may look at the context as well has an
    excuse to be worse. A Monte Carlo estimate over `tokens` [B, L] int64; the noise comes from `generator`.
    """
    total = 0.0
    for part in torch.split(tokens, max(1, 2**24 // (codec.capacity * codec.vocab_size))):  # 64 MB of logits at once
        image = codec.encode(part)
        noise = torch.randn(image.shape, generator=generator)
        guess = codec.posterior_mean(image + sigma * noise, torch.full((len(part),), sigma))
        total += float((guess - image).square().mean((1, 2, 3)).double().sum())
    return total / len(tokens)
