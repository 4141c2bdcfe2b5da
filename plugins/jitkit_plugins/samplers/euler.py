"""Euler's method."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.grid_sampler import GridSampler
from jitkit_plugins.samplers.step_context import StepContext


class Euler(GridSampler):
    """First order, one evaluation per step: follow the velocity at the beginning of the step."""

    name: ClassVar[str] = "euler"
    order: ClassVar[int] = 1

    @property
    def distillable(self) -> bool:
        """True for one evaluation per step, as a student takes in training."""
        return self.passes == 1

    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``z + dt v(z, t)``."""
        return z + (t_next - t) * context.velocity(z, t)
