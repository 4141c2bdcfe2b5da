"""Toy paths, a codec, and distributions with exact denoisers: test cases with known answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.codecs.codebook import CodebookCodec
from jitkit.codecs.image_codec import ImageCodec
from jitkit.component import Component
from jitkit.diffusion.process import levels_at
from jitkit.protocols import Levels, NoiseSchedule


class Straight(Component):
    """The path alpha = t, sigma = 1 - t."""

    name: ClassVar[str] = "straight"
    noise_scale: float = 1.0

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t`."""
        return Levels(t, 1 - t, torch.ones_like(t), -torch.ones_like(t))

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return uniform times."""
        return torch.rand(num, generator=generator).clamp(1e-6, 1 - 1e-6)

    def grid(self, num_steps: int) -> Tensor:
        """Return evenly spaced times."""
        return torch.linspace(0, 1, num_steps + 1)


class Arc(Straight):
    """The path alpha = sin(pi t / 2), sigma = cos(pi t / 2)."""

    name: ClassVar[str] = "arc"

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t`."""
        quarter = math.pi / 2
        alpha, sigma = torch.sin(quarter * t), torch.sin(quarter * (1 - t))
        return Levels(alpha, sigma, quarter * sigma, -quarter * alpha)


PATHS: tuple[NoiseSchedule, ...] = (Straight(), Arc(), Straight(noise_scale=2.5))


class CubeCorners(CodebookCodec):
    """One pixel per token: the eight corners of the color cube."""

    name: ClassVar[str] = "cube-corners"

    def codebook(self, vocab_size: int) -> Tensor:
        """Return the first corners [vocab_size, 3]."""
        return torch.tensor(list(product((0, 255), repeat=3)), dtype=torch.uint8)[:vocab_size]


def toy_codec(image_size: int = 4) -> ImageCodec:
    """Return a codec of 8 ids, one pixel per token."""
    return CubeCorners().build(8, image_size, 2)


@dataclass(frozen=True)
class Oracle:
    """A denoiser that knows the clean images `x`."""

    schedule: NoiseSchedule
    x: Tensor

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return `x`."""
        return self.x


@dataclass(frozen=True)
class GaussianWorld:
    """Every pixel is N(0, std^2): the posterior mean is linear in `z`, and the ODE has an exact solution."""

    schedule: NoiseSchedule
    std: float = 0.5

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return E[x | z] = alpha std^2 z / (alpha^2 std^2 + sigma^2 noise_scale^2)."""
        at = levels_at(self.schedule, t)
        variance = (at.alpha * self.std) ** 2 + (at.sigma * self.schedule.noise_scale) ** 2
        return at.alpha * self.std**2 / variance * z

    def image_of(self, z: Tensor) -> Tensor:
        """Return the solution of the ODE from `z` at t = 0: the same quantile of N(0, std^2)."""
        return z * self.std / self.schedule.noise_scale


@dataclass(frozen=True)
class TwoPointWorld:
    """Every pixel is -1 or 1 with equal probability."""

    schedule: NoiseSchedule

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return E[x | z] = tanh(alpha z / (sigma noise_scale)^2)."""
        at = levels_at(self.schedule, t)
        return torch.tanh(at.alpha * z / (at.sigma * self.schedule.noise_scale).square().clamp(min=1e-12))


def noise_source(shape: tuple[int, ...], scale: float, seed: int) -> Callable[[], Tensor]:
    """Return a seeded function that returns new float64 noise of standard deviation `scale`."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator).double() * scale  # twice as fast as drawing float64
