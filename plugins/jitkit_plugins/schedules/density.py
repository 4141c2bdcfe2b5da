"""Where on the path a model trains and samples: one density of t, from one quantile function."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from jitkit.component import Component

TICKS = 2**24  # float32 holds every multiple of 1 / TICKS in [0, 1] exactly


class DensityOfTime(Component):
    """The half of a noise schedule that does not depend on the path; the members of this family add `levels`.

    `draw` puts random numbers through the quantile function of the density, `grid` puts evenly spaced ones. So a sampler
    steps most finely where the model trained most.
    """

    density: Annotated[
        Literal["logit-normal", "uniform"], Field(description="density of t that the model trains on")
    ] = "logit-normal"
    mean: Annotated[float, Field(ge=-5, le=5, description="mean of logit(t); below 0 means nearer to noise")] = 0.0
    std: Annotated[float, Field(ge=0.05, le=5, description="standard deviation of logit(t)")] = 1.0
    spacing: Annotated[
        Literal["density", "uniform"], Field(description="sampling times: quantiles of the density, or evenly spaced")
    ] = "density"
    noise_scale: Annotated[float, Field(gt=0, le=100, description="standard deviation of the noise")] = 1.0

    @model_validator(mode="after")
    def _uniform_has_no_shape(self) -> Self:
        for key, unused in (("mean", 0.0), ("std", 1.0)):
            if self.density == "uniform" and getattr(self, key) != unused:
                raise ValueError(
                    f"{key}: found {getattr(self, key)} beside density uniform; expected density logit-normal"
                )
        return self

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` times [num] float32 in (0, 1), on the CPU.

        Stratified: one from each of `num` parts of equal probability, in random order. Each time alone follows the
        density; together they cover it, which makes the loss of a batch less noisy (Kingma et al. 2021, appendix I.1).
        """
        strata = torch.randperm(num, generator=generator)
        jitter = torch.rand(num, generator=generator, dtype=torch.float64)
        t = self._quantile((strata + jitter) / num).float()
        return t.clamp(1 / TICKS, 1 - 1 / TICKS)  # rounding must not reach the ends

    def grid(self, num_steps: int) -> Tensor:
        """Return the quantiles at 0, 1/n, ..., 1 for n = `num_steps`: [n + 1] float32 from exactly 0 to exactly 1."""
        steps = torch.arange(num_steps + 1)
        share = steps.double() / num_steps
        t = share if self.spacing == "uniform" else self._quantile(share)
        ticks = (t * TICKS).round().long()
        # Quantiles that fall on one tick are moved apart, by the least that makes the grid rise strictly.
        ticks = (ticks - steps).cummax(0).values + steps
        ticks = ticks.minimum(TICKS - num_steps + steps)
        return (ticks.double() / TICKS).float()

    def _quantile(self, share: Tensor) -> Tensor:
        if self.density == "uniform":
            return share
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(share))
