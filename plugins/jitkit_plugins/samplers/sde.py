"""Euler's method with re-noising."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from jitkit.diffusion.process import renoise
from jitkit_plugins.samplers.grid_sampler import GridSampler
from jitkit_plugins.samplers.step_context import StepContext


class Sde(GridSampler):
    """Stochastic: before each step go back to t (1 - gamma dt) with fresh noise, then take an Euler step from there.

    Re-noising corrects early mistakes. The scaling with dt is that of ELF (2605.10938); the variance is exact on any
    schedule. gamma = 0 is Euler's method. Nothing is re-noised at t = 0 or in the last step.

    Noise helps while tokens are being decided; later it only has to be removed again. `t_min` and `t_max` bound the times
    at which it is added (Karras et al. 2022, algorithm 2, in sigma).
    """

    name: ClassVar[str] = "sde"

    gamma: float = Field(1.0, ge=0, le=100, description="how far to go back, as a multiple of t dt")
    t_min: float = Field(0.0, ge=0, le=1, description="no re-noising before this time")
    t_max: float = Field(1.0, ge=0, le=1, description="no re-noising after this time")

    @model_validator(mode="after")
    def _interval_is_open(self) -> Self:
        if self.t_min >= self.t_max:
            raise ValueError(f"t_max: found {self.t_max} with t_min {self.t_min}; expected a later time")
        return self

    @property
    def order(self) -> int | None:
        """1 without re-noising; None for a stochastic sampler."""
        return None if self.gamma else 1

    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``z_b + (t_next - t_b) v(z_b, t_b)`` with t_b = t (1 - gamma dt) >= 0; t_b = t outside the interval."""
        inside = (t > 0) & (self.t_min <= t) & (t <= self.t_max)
        if self.gamma and inside.any():
            back = torch.where(inside, t * (1 - self.gamma * (t_next - t)).clamp(min=0), t)
            z = renoise(z, context.fresh_noise(), later=context.levels(t), earlier=context.levels(back))
            t = back
        return z + (t_next - t) * context.velocity(z, t)
