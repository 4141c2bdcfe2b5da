"""Reconstructing noised held-out text: by the model in one step, in a short sampling trajectory, and by baselines.

The trajectory uses `STEPS` Euler steps from t to 1, whatever the model's own sampler is. It adds no noise, so that the
result depends on the model and not on its sampler (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from jitkit.diffusion.context_free import images_per_batch, per_token
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import euler_step, interpolate, levels_at
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.pipeline import Pipeline
from jitkit.protocols import Codec, NoiseSchedule
from jitkit_plugins.metrics.bigrams import BigramModel, bigram_model_of

FINE_STEPS = 1024
STEPS = 8


@dataclass(frozen=True)
class Reconstruction:
    """Tokens recovered from ``z = alpha(t) x + sigma(t) noise``, [N, L] int64 each, on the CPU."""

    t: float
    one_step: Tensor  # decode(denoiser.self_conditioned(z, t))
    sampled: Tensor  # decoded end of the trajectory of `STEPS` steps that starts from z at t
    contextless: Tensor  # decode(z / alpha): the context-free baseline
    bigram: Tensor | None = None  # z / alpha decoded by a `BigramModel`; None without training text

    @property
    def tokens(self) -> dict[str, Tensor | None]:
        """All tokens by name."""
        return {name: value for name, value in vars(self).items() if name != "t"}


def reconstructions_of(context: EvaluationContext) -> tuple[Reconstruction, ...]:
    """Return the reconstruction of the windows at each of the context's times; computed once per context."""
    return context.shared("reconstructions", lambda: _reconstructions(context))


def accuracies(
    context: EvaluationContext, found: Mapping[str, Tensor | None], mask: Tensor | None = None
) -> dict[str, float]:
    """Return the accuracy of each of the `found` tokens [N, L] (None: skipped), with its interval over windows.

    An accuracy is the share of the `mask` [N, L] positions (default: the text) that equal the context's windows.
    """
    mask = context.text_mask if mask is None else mask
    totals = mask.sum(1).tolist()
    numbers: dict[str, float] = {}
    for name, tokens in found.items():
        if tokens is not None:
            correct = ((tokens == context.windows) & mask).sum(1)
            numbers |= ratio_with_interval(name, correct.tolist(), totals, context.seed)
    return numbers


def trajectory_grid(schedule: NoiseSchedule, t: float, steps: int = STEPS) -> Tensor:
    """Return the times [steps + 1] of a trajectory from `t` to 1, spaced like the schedule's own grid.

    The times are evenly spaced if the schedule has too few of its `FINE_STEPS` times after `t`.
    """
    grid = schedule.grid(FINE_STEPS)
    fine = torch.cat([torch.tensor([t], dtype=grid.dtype), grid[grid > t]])
    if len(fine) <= steps:
        return torch.linspace(t, 1, steps + 1, dtype=grid.dtype)
    return fine[torch.linspace(0, len(fine) - 1, steps + 1).round().long()]


def estimates(denoiser: Denoiser, z: Tensor, grid: Tensor) -> Iterator[Tensor]:
    """Yield the model's estimates [B, 3, H, W] of the clean image along the Euler trajectory over `grid` from `z`.

    The first is the self-conditioned estimate of `z` itself, the last is the end of the trajectory. Each estimate
    conditions the next one.
    """
    x_hat = None
    for t, t_next in pairwise(grid):
        at = t.to(z.device).expand(len(z))
        x_hat = denoiser.self_conditioned(z, at) if x_hat is None else denoiser(z, at, x_hat)
        yield x_hat
        z = euler_step(x_hat, z, t, t_next, denoiser.schedule)


@torch.inference_mode()
def recover(context: EvaluationContext, grid: Tensor, advance: Callable[[int], None]) -> Tensor:
    """Return the tokens [N, L] int64 at the end of the trajectory over `grid` that starts from the noised windows."""
    pipeline = context.pipeline

    def recovered(rows: Tensor) -> list[Tensor]:
        z = noised(pipeline, rows, float(grid[0]), context.seed)
        *_, last = counted(estimates(pipeline.denoiser.as_trained(), z, grid), advance)
        return [pipeline.decode(last)]

    return context.over_batches(recovered, context.windows)[0]


def noised(pipeline: Pipeline, tokens: Tensor, t: float, seed: int) -> Tensor:
    """Return the images [B, 3, H, W] of `tokens` [B, L] at time `t`. A window has the same noise at every t."""
    codec, schedule, device = pipeline.codec, pipeline.denoiser.schedule, pipeline.device
    levels = levels_at(schedule, torch.tensor(t), device)
    noise = draw_noise(window_generators(seed, tokens, "noise"), codec.image_size, schedule.noise_scale).to(device)
    return interpolate(codec.encode(tokens.to(device)), noise, levels)


def _reconstructions(context: EvaluationContext) -> tuple[Reconstruction, ...]:
    schedule, bigrams = context.pipeline.denoiser.schedule, bigram_model_of(context)
    images = [len(context.windows) * (len(trajectory_grid(schedule, t)) - 1) for t in context.times]
    advance = context.counter("recovery", sum(images), shared=True)
    found = []
    for t, num_images in zip(context.times, images, strict=True):
        reused = context.partial.reused
        compute = partial(_reconstruction, context, t, bigrams, advance)
        tokens = context.partial.get(f"tokens recovered at {t!r}", compute)
        found.append(Reconstruction(t, **{name: torch.tensor(lists) for name, lists in tokens.items()}))
        if context.partial.reused > reused:
            advance(num_images)
    return tuple(found)


@torch.inference_mode()
def _reconstruction(
    context: EvaluationContext, t: float, bigrams: BigramModel | None, advance: Callable[[int], None]
) -> dict[str, list[list[int]]]:
    """Return the tokens of a `Reconstruction` as lists, by name."""
    codec, denoiser = context.pipeline.codec, context.pipeline.denoiser.as_trained()
    levels, grid = levels_at(denoiser.schedule, torch.tensor([t])), trajectory_grid(denoiser.schedule, t)
    sigma = per_token(levels.sigma / levels.alpha, codec) * denoiser.schedule.noise_scale

    def decoded(rows: Tensor) -> list[Tensor]:
        z = noised(context.pipeline, rows, t, context.seed)
        one_step, *_, sampled = counted(estimates(denoiser, z, grid), advance)
        image = z / levels.alpha.to(z.device)
        found = [*map(context.pipeline.decode, (one_step, sampled)), codec.decode(image)]
        return found if bigrams is None else [*found, _decoded(bigrams, codec, image, sigma)]

    names = [field.name for field in fields(Reconstruction)][1:]
    columns = context.over_batches(decoded, context.windows)
    return {name: column.tolist() for name, column in zip(names, columns, strict=False)}


def _decoded(bigrams: BigramModel, codec: Codec, image: Tensor, sigma: Tensor) -> Tensor:
    """Return the tokens [B, L] int64 on the CPU that `bigrams` decode from `image` = x + sigma N(0, I), sigma [1] or [1, L]."""
    sigma = sigma.to(image.device)
    parts = [
        bigrams.decode(codec.token_logits(rows, sigma.expand(len(rows), *sigma.shape[1:])).cpu())
        for rows in torch.split(image, images_per_batch(codec.capacity, codec.vocab_size))
    ]
    return torch.cat(parts)


def counted(images: Iterator[Tensor], advance: Callable[[int], None]) -> Iterator[Tensor]:
    """Yield the images, and report how many they are."""
    for image in images:
        advance(len(image))
        yield image
