"""DPM-Solver++: second order at the cost of first order."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.step_context import StepContext


class Dpm(Ddim):
    """`ddim` with an estimate extrapolated to the middle of the step (DPM-Solver++ 2M, Lu et al. 2022, 2211.01095).

    Second order with one evaluation per step (`heun` needs two). Extrapolates in t, because log(alpha / sigma) is infinite
    at both ends, and by at most half of the last change, because the first estimates of a self-conditioned model may jump.
    """

    name: ClassVar[str] = "dpm"

    @property
    def order(self) -> int | None:
        """2 without fresh noise; None for a stochastic sampler."""
        return None if self.eta else 2

    def image(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return the estimate extrapolated to the middle of the step; in the first step the estimate at `t`."""
        before, t_before = context.x_hat, context.t
        x_hat = context.estimate(z, t)
        if before is None or t_before is None:
            return x_hat
        ratio = ((t_next - t) / (t - t_before)).clamp(max=1).nan_to_num()  # a pixel may be at the end already
        return x_hat + ratio / 2 * (x_hat - before)
