"""Denoising diffusion implicit models."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from jitkit.diffusion.process import fresh_share, interpolate, noise_from_x
from jitkit_plugins.samplers.grid_sampler import GridSampler
from jitkit_plugins.samplers.step_context import StepContext


class Ddim(GridSampler):
    """Split `z` into image and noise and recombine them at the next time (Song et al. 2020, equation 12).

    eta is the share of noise that is renewed: 0 none, 1 all that was added after the next time (ancestral sampling). On
    the flow path eta = 0 is Euler's method. On a curved path DDIM follows the curve exactly.
    """

    name: ClassVar[str] = "ddim"

    eta: float = Field(0.0, ge=0, le=1, description="0: deterministic, 1: ancestral sampling")

    @property
    def order(self) -> int | None:
        """1 without fresh noise; None for a stochastic sampler."""
        return None if self.eta else 1

    def image(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return the clean image used for the next time: the estimate at `t`."""
        del t_next
        return context.estimate(z, t)

    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``alpha x_hat + sigma noise`` at the levels of `t_next`."""
        here, there = context.levels(t), context.levels(t_next)
        x_hat = self.image(context, z, t, t_next)
        noise = noise_from_x(x_hat, z, here)
        if self.eta:
            fresh = self.eta * fresh_share(here, there)
            noise = (1 - fresh.square()).sqrt() * noise + fresh * context.fresh_noise()
        return interpolate(x_hat, noise, there)
