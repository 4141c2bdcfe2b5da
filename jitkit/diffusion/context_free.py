"""Context-free posterior: the distribution over tokens given z alone, computed without a network.

An image z at time t, divided by alpha, is the clean image plus Gaussian noise. Decoding each token to its nearest
codeword gives the *context-free baseline*: the token accuracy that is due to the codec alone, which every model must
beat. The mean of all codewords under the context-free posterior is the *context-free estimate*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.diffusion.process import levels_at
from jitkit.protocols import Codec, NoiseSchedule
from jitkit.protocols.codec import ALL_POSITIONS

MIN_ALPHA = 1e-6  # z contains nothing of the image at t = 0, where alpha is 0
MAX_LOGITS = 2**24  # 64 MB in float32
MIN_NOISE = 1e-3  # codewords differ by at least 2/255, so at this noise the nearest has odds above e^30


def context_free_logits(
    z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec, positions: slice = ALL_POSITIONS
) -> Tensor:
    """Return log p(z | v) of each token v at `positions`, up to a constant: [B, l, V] float32 for `z` [B, 3, H, W].

    In ``z = alpha c + sigma noise`` the codeword c has the log-likelihood
    ``- |z - alpha c|^2 / (2 sigma^2 noise_scale^2)`` (the matched filter of CoBit, 2605.07013).
    """
    return codec.token_logits(*_image_plus_noise(z, t, schedule, codec), positions)


def context_free_estimate(z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return the mean image [B, 3, H, W] under the context-free posterior with a uniform prior over tokens.

    At t = 0 it is the mean codeword everywhere, near t = 1 the image itself. Its magnitude reflects its certainty.
    """
    return codec.posterior_mean(*_image_plus_noise(z, t, schedule, codec)).to(z.dtype)


def per_token(level: Tensor, codec: Codec) -> Tensor:
    """Return a level of `levels_at` for each image [B], or for each token [B, L] if it differs between pixels."""
    return level.flatten() if level.shape[1:] == (1, 1, 1) else codec.token_values(level)[:, :, 0]


def _image_plus_noise(z: Tensor, t: Tensor, schedule: NoiseSchedule, codec: Codec) -> tuple[Tensor, Tensor]:
    """Return `z` as a clean image plus noise, and the standard deviation [B] or [B, L] of that noise."""
    at = levels_at(schedule, t)
    alpha = at.alpha.clamp(min=MIN_ALPHA)
    noise = (at.sigma * schedule.noise_scale / alpha).clamp(min=MIN_NOISE)
    return z / alpha, per_token(noise, codec)


def images_per_batch(num_tokens: int, vocab_size: int) -> int:
    """Return how many images of `num_tokens` tokens have at most `MAX_LOGITS` logits together; at least one."""
    return max(1, MAX_LOGITS // (num_tokens * vocab_size))


def uniform_tokens(codec: Codec, num_tokens: int, generator: torch.Generator) -> Tensor:
    """Return images of uniformly random tokens [B, L] int64, at least `num_tokens` tokens in total."""
    num_images = -(-num_tokens // codec.capacity)
    return torch.randint(codec.vocab_size, (num_images, codec.capacity), generator=generator)


def context_free_accuracy(
    codec: Codec, schedule: NoiseSchedule, t: float, tokens: Tensor, generator: torch.Generator
) -> float:
    """Return the share of `tokens` [B, L] int64 that nearest-codeword decoding recovers at time `t`.

    A Monte Carlo estimate; the noise comes from `generator`, a CPU generator.
    """
    alpha, sigma, *_ = schedule.levels(torch.tensor(t, dtype=torch.float64))
    noise = sigma.item() * schedule.noise_scale / max(alpha.item(), MIN_ALPHA)
    return accuracy_under_noise(codec, noise, tokens, generator)


def accuracy_under_noise(codec: Codec, sigma: float, tokens: Tensor, generator: torch.Generator) -> float:
    """Return the share of `tokens` [B, L] int64 that survive Gaussian noise of deviation `sigma`, in units of x."""
    right = 0
    for part in torch.split(tokens, max(1, 2**20 // codec.image_size**2)):  # about 12 MB of images at a time
        image = codec.encode(part)
        noise = torch.randn(image.shape, generator=generator).to(image.device)
        right += int((codec.decode(image + sigma * noise) == part).sum())
    return right / tokens.numel()


def error_under_noise(codec: Codec, sigma: float, tokens: Tensor, generator: torch.Generator) -> float:
    """Return the mean squared error per number of the context-free estimate under noise of deviation `sigma`.

    A network, which also sees the context, can always do at least as well. A Monte Carlo estimate over `tokens` [B, L]
    int64; the noise comes from `generator`.
    """
    total = 0.0
    for part in torch.split(tokens, images_per_batch(codec.capacity, codec.vocab_size)):
        image = codec.encode(part)
        noise = torch.randn(image.shape, generator=generator)
        estimate = codec.posterior_mean(image + sigma * noise, torch.full((len(part),), sigma))
        total += float((estimate - image).square().mean((1, 2, 3)).double().sum())
    return total / len(tokens)
