"""PeakMemoryMode-out text on its way: noised to a time t, and read back by the network, in a short walk, and without a network.

The walk is Euler's, `STEPS` steps from t to 1, whatever sampler the model writes with: it adds no noise of its own, so what
comes back is what the model knows, and models are compared with each other and not their samplers (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import euler_step
from jitkit.evaluation.at_once import windows_at_once
from jitkit.evaluation.bigrams import Bigrams
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.pipeline import Pipeline
from jitkit.protocols import Codec, NoiseSchedule

FINE_STEPS = 1024
STEPS = 8


@dataclass(frozen=True)
class Reconstruction:
    """What was read back from ``z = alpha(t) x + sigma(t) noise``; the tokens are [N, L] int64 on the CPU."""

    t: float
    one_step: Tensor  # decode(denoiser.self_conditioned(z, t))
    sampled: Tensor  # decode(where a walk of `STEPS` steps ends that starts from z at t)
    contextless: Tensor  # decode(z / alpha): the nearest codewords of z alone, no network asked
    bigram: Tensor | None = None  # z / alpha read by `Bigrams`; None where there is no training text to count in

    def as_plain(self) -> dict[str, Any]:
        """Return it as numbers and lists."""
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(self).items()}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `as_plain` was made of."""
        tokens = {name: torch.tensor(value) for name, value in plain.items() if isinstance(value, list)}
        return cls(float(plain["t"]), **tokens)


def trajectory_grid(schedule: NoiseSchedule, t: float, steps: int = STEPS) -> Tensor:
    """Return the times [steps + 1] of a walk from `t` to 1, spaced as those of a whole walk are beyond t.

    Evenly where a whole walk has no more than so few of its `FINE_STEPS` there.
    """
    grid = schedule.grid(FINE_STEPS)
    fine = torch.cat([torch.tensor([t], dtype=grid.dtype), grid[grid > t]])
    if len(fine) <= steps:
        return torch.linspace(t, 1, steps + 1, dtype=grid.dtype)
    return fine[torch.linspace(0, len(fine) - 1, steps + 1).round().long()]


def estimates(denoiser: Denoiser, z: Tensor, grid: Tensor) -> Iterator[Tensor]:
    """Yield what the model sees in the images of Euler's walk over `grid` from `z`, [B, 3, H, W] each.

    The first is its settled reading of `z` itself, the last is where the walk ends. Each is shown to the model in the next step.
    """
    x_hat = None
    for t, t_next in pairwise(grid):
        at = t.to(z.device).expand(len(z))
        x_hat = denoiser.self_conditioned(z, at) if x_hat is None else denoiser(z, at, x_hat)
        yield x_hat
        z = euler_step(x_hat, z, t, t_next, denoiser.schedule)


@torch.inference_mode()
def reconstruct(
    pipeline: Pipeline,
    windows: Tensor,
    t: float,
    *,
    seed: int,
    batch_size: int,
    bigrams: Bigrams | None = None,
    advance: Callable[[int], None],
) -> Reconstruction:
    """Return how the `windows` [N, L] int64 come back from time `t` in (0, 1).

    A window has the same noise at every t, so that figures at different times differ by t alone. `advance` is told the
    number of images after each step taken.
    """
    columns = [_reconstruct(pipeline, rows, t, seed, bigrams, advance) for rows in torch.split(windows, batch_size)]
    one_step, sampled, contextless, *bigram = (torch.cat(column).cpu() for column in zip(*columns, strict=True))
    return Reconstruction(t, one_step, sampled, contextless, *bigram)


@torch.inference_mode()
def recover(
    pipeline: Pipeline, windows: Tensor, grid: Tensor, *, seed: int, batch_size: int, advance: Callable[[int], None]
) -> Tensor:
    """Return the tokens [N, L] int64 that a walk over `grid` makes of `windows`, noised to its first time as above."""
    parts = []
    for rows in torch.split(windows, batch_size):
        *_, last = _counted(estimates(pipeline.denoiser, noised(pipeline, rows, float(grid[0]), seed), grid), advance)
        parts.append(pipeline.codec.decode(last).cpu())
    return torch.cat(parts)


def noised(pipeline: Pipeline, tokens: Tensor, t: float, seed: int) -> Tensor:
    """Return the images [B, 3, H, W] of `tokens` [B, L] at time `t`, each with the noise that belongs to its window."""
    codec, schedule, device = pipeline.codec, pipeline.denoiser.schedule, pipeline.device
    levels = schedule.levels(torch.tensor(t))
    noise = draw_noise(window_generators(seed, tokens, "noise"), codec.image_size, schedule.noise_scale).to(device)
    return float(levels.alpha) * codec.encode(tokens.to(device)) + float(levels.sigma) * noise


def read_pairs(bigrams: Bigrams, codec: Codec, image: Tensor, sigma: float) -> Tensor:
    """Return the tokens [B, L] int64 on the CPU that `bigrams` make of `image` = x + sigma N(0, I)."""
    parts = [
        bigrams.read(codec.token_logits(rows, torch.full((len(rows),), sigma, device=rows.device)).cpu())
        for rows in torch.split(image, windows_at_once(codec.capacity, codec.vocab_size))
    ]
    return torch.cat(parts)


def _reconstruct(
    pipeline: Pipeline,
    tokens: Tensor,
    t: float,
    seed: int,
    bigrams: Bigrams | None,
    advance: Callable[[int], None],
) -> tuple[Tensor, ...]:
    codec, schedule = pipeline.codec, pipeline.denoiser.schedule
    levels = schedule.levels(torch.tensor(t))
    z = noised(pipeline, tokens, t, seed)
    one_step, *_, sampled = _counted(estimates(pipeline.denoiser, z, trajectory_grid(schedule, t)), advance)
    image = z / float(levels.alpha)
    read = codec.decode(one_step), codec.decode(sampled), codec.decode(image)
    if bigrams is None:
        return read
    return *read, read_pairs(bigrams, codec, image, float(levels.sigma / levels.alpha) * schedule.noise_scale)


def _counted(images: Iterator[Tensor], advance: Callable[[int], None]) -> Iterator[Tensor]:
    for image in images:
        advance(len(image))
        yield image
