"""Heun's method."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.grid_sampler import GridSampler, StepContext


class Heun(GridSampler):
    """Second order, two evaluations a step: follow the mean of the velocities at its two ends (Karras et al. 2022).

    The last step is one of Euler's, with one evaluation: there is no velocity at t = 1.
    """

    name: ClassVar[str] = "heun"
    order: ClassVar[int] = 2

    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``z + dt (v(z, t) + v(z', t')) / 2``, where z' is Euler's guess at t' = `t_next`."""
        dt = t_next - t
        velocity = context.velocity(z, t)
        ahead = context.velocity(z + dt * velocity, t_next)
        return z + dt * (velocity + ahead) / 2
