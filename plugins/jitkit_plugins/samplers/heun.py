"""Heun's method."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.grid_sampler import GridSampler
from jitkit_plugins.samplers.step_context import StepContext


class Heun(GridSampler):
    """Second order, two evaluations per step: follow the mean of the velocities at both ends (Karras et al. 2022).

    The last step is an Euler step with one evaluation, because there is no velocity at t = 1.
    """

    name: ClassVar[str] = "heun"
    order: ClassVar[int] = 2

    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``z + dt (v(z, t) + v(z', t')) / 2``, where z' is the Euler step to t' = `t_next`."""
        dt = t_next - t
        velocity = context.velocity(z, t)
        ahead = context.velocity(z + dt * velocity, t_next)
        return z + dt * (velocity + ahead) / 2
