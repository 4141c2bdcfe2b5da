"""DPM-Solver++: second order at the price of first."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.grid_sampler import StepContext


class Dpm(Ddim):
    """`ddim` with an image that looks ahead: on from the last two estimates to the middle of the step (Lu et al. 2022).

    Second order with one evaluation a step, where `heun` takes two: DPM-Solver++ (2M) of 2211.01095, with t in place of
    the logarithm of alpha / sigma, which is infinite at both ends. It never goes on by more than half of the last change,
    for the first estimates of a model with self-conditioning may jump, however short the step.
    """

    name: ClassVar[str] = "dpm"

    @property
    def order(self) -> int | None:
        """2 without fresh noise; a random walk has none."""
        return None if self.eta else 2

    def image(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return the estimate that is expected at the middle of the step; in the first step the one at `t`."""
        before, t_before = context.x_hat, context.t
        x_hat = context.estimate(z, t)
        if before is None or t_before is None:
            return x_hat
        ratio = ((t_next - t) / (t - t_before)).clamp(max=1)
        return x_hat + ratio / 2 * (x_hat - before)
