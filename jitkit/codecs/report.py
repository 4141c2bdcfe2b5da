"""Statistics of a codec: capacity, margin, and token accuracy under noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from jitkit.diffusion.context_free import accuracy_under_noise, context_free_accuracy, uniform_tokens
from jitkit.execution.randomness import seeded_generator
from jitkit.protocols import Codec, NoiseSchedule

SIGMAS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
TIMES = tuple(step / 20 for step in range(21))


MIN_TOKENS = 8192  # for an error of one in a thousand


def noise_tolerance(codec: Codec, tokens: Tensor, share: float = 0.001) -> float:
    """Return the sigma of Gaussian noise at which a `share` of `tokens` [B, L] int64 is decoded wrongly, to within 2 %.

    The tokens are repeated to at least `MIN_TOKENS`. The result is within the range of `SIGMAS`.
    """
    tokens = tokens.repeat(-(-MIN_TOKENS // tokens.numel()), 1)
    low, high = SIGMAS[0], SIGMAS[-1]
    while high / low > 1.02:
        sigma = math.sqrt(low * high)
        if 1 - accuracy_under_noise(codec, sigma, tokens, seeded_generator(0)) < share:
            low = sigma
        else:
            high = sigma
    return low


@dataclass(frozen=True)
class CodecReport:
    """Facts and measurements of one codec. Accuracies are shares of tokens; every id is equally likely."""

    name: str
    settings: dict[str, Any]
    schedule: dict[str, Any]
    vocab_size: int
    image_size: int
    patch_size: int
    tokens_per_image: int
    tokens_per_patch: float
    pixels_per_token: int
    unused_pixels: int
    margin: float  # in units of x
    noise: list[dict[str, float]]  # sigma, accuracy: decoded from x + sigma N(0, I)
    contextless: list[dict[str, float]]  # t, accuracy of the context-free baseline


def inspect_codec(
    name: str,
    codec: Codec,
    schedule: NoiseSchedule,
    *,
    patch_size: int,
    settings: dict[str, Any],
    schedule_settings: dict[str, Any],
    num_tokens: int,
    seed: int,
) -> CodecReport:
    """Return the report of a codec, measured on at least `num_tokens` tokens at each noise level."""
    generator = seeded_generator(seed)
    tokens = uniform_tokens(codec, num_tokens, generator)
    noise = [(sigma, accuracy_under_noise(codec, sigma, tokens, generator)) for sigma in SIGMAS]
    baseline = [(t, context_free_accuracy(codec, schedule, t, tokens, generator)) for t in TIMES]
    return CodecReport(
        name=name,
        settings=settings,
        schedule=schedule_settings,
        vocab_size=codec.vocab_size,
        image_size=codec.image_size,
        patch_size=patch_size,
        tokens_per_image=codec.capacity,
        tokens_per_patch=codec.capacity / (codec.image_size / patch_size) ** 2,
        pixels_per_token=codec.pixels_per_token,
        unused_pixels=codec.image_size**2 - codec.capacity * codec.pixels_per_token,
        margin=codec.margin,
        noise=[{"sigma": sigma, "accuracy": accuracy} for sigma, accuracy in noise],
        contextless=[{"t": t, "accuracy": accuracy} for t, accuracy in baseline],
    )
