"""Held-out text on its way: noised to a time t, and read back by the network, by the sampler, and by nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.pipeline import Pipeline
from jitkit.protocols import NoiseSchedule


@dataclass(frozen=True)
class Reconstruction:
    """What was read back from ``z = alpha(t) x + sigma(t) noise``; the tokens are [N, L] int64 on the CPU."""

    t: float
    one_step: Tensor  # decode(denoiser(z, t))
    sampled: Tensor  # decode(where the sampler ends that starts from z at t)
    contextless: Tensor  # decode(z / alpha): the nearest codewords of z alone, no network asked


def walk_grid(schedule: NoiseSchedule, t: float, steps: int) -> Tensor:
    """Return the times [n + 1] of a walk that begins at `t`: t, then the points above it of the grid of a whole walk."""
    grid = schedule.grid(steps)
    return torch.cat([torch.tensor([t], dtype=grid.dtype), grid[grid > t]])


@torch.inference_mode()
def reconstruct(
    pipeline: Pipeline,
    windows: Tensor,
    t: float,
    *,
    seed: int,
    batch_size: int,
    steps: int,
    advance: Callable[[int], None],
) -> Reconstruction:
    """Return how the `windows` [N, L] int64 come back from time `t` in (0, 1).

    A window has the same noise at every t, so that figures at different times differ by t alone. `advance` is told the
    number of images after each step taken.
    """
    parts = [_reconstruct(pipeline, rows, t, seed, steps, advance) for rows in torch.split(windows, batch_size)]
    one_step, sampled, contextless = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return Reconstruction(t, one_step, sampled, contextless)


def _reconstruct(
    pipeline: Pipeline, tokens: Tensor, t: float, seed: int, steps: int, advance: Callable[[int], None]
) -> tuple[Tensor, Tensor, Tensor]:
    codec, denoiser, device = pipeline.codec, pipeline.denoiser, pipeline.device
    schedule, num = denoiser.schedule, len(tokens)
    levels = schedule.levels(torch.tensor(t))
    noise = draw_noise(window_generators(seed, tokens, "noise"), codec.image_size, schedule.noise_scale).to(device)
    z = float(levels.alpha) * codec.encode(tokens.to(device)) + float(levels.sigma) * noise
    one_step = codec.decode(denoiser(z, torch.full((num,), t, device=device)))
    advance(num)
    walkers = window_generators(seed, tokens, f"walk from {t!r}")
    image = pipeline.sampler.sample(
        denoiser,
        z,
        walk_grid(schedule, t, steps),
        fresh_noise=lambda: draw_noise(walkers, codec.image_size, schedule.noise_scale).to(device),
        on_step=lambda _: advance(num),
    )
    return one_step, codec.decode(image), codec.decode(z / float(levels.alpha))
