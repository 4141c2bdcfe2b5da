"""Training and sampling times from one quantile function: sampling steps are smallest where training is densest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from jitkit.component import Component

TICKS = 2**24  # float32 holds every multiple of 1 / TICKS in [0, 1] exactly


class QuantileTimes(ABC):
    """Base class of schedules whose times follow a quantile function."""

    @abstractmethod
    def quantile(self, share: Tensor) -> Tensor:
        """Return the time below which `share` lies: increasing, float64 of any shape, [0, 1] to [0, 1]."""

    def grid_quantile(self, share: Tensor) -> Tensor:
        """Return the sampling time at `share` of the steps."""
        return self.quantile(share)

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` times [num] float32 in (0, 1), on the CPU.

        Stratified: one from each of `num` intervals of equal probability, in random order. Each time follows the density;
        stratification makes the loss of a batch less noisy (Kingma et al. 2021, appendix I.1).
        """
        strata = torch.randperm(num, generator=generator)
        jitter = torch.rand(num, generator=generator, dtype=torch.float64)
        t = self.quantile((strata + jitter) / num).float()
        return t.clamp(1 / TICKS, 1 - 1 / TICKS)  # rounding must not reach the ends

    def grid(self, num_steps: int) -> Tensor:
        """Return the quantiles at 0, 1/n, ..., 1 for n = `num_steps`: [n + 1] float32 from exactly 0 to exactly 1."""
        steps = torch.arange(num_steps + 1)
        ticks = (self.grid_quantile(steps.double() / num_steps) * TICKS).round().long()
        ticks[0], ticks[-1] = 0, TICKS
        # Move equal quantiles apart by the least amount that makes the grid rise strictly.
        ticks = (ticks - steps).cummax(0).values + steps
        ticks = ticks.minimum(TICKS - num_steps + steps)
        return (ticks.double() / TICKS).float()


class DensityOfTime(QuantileTimes, Component):
    """Base class of schedules with a fixed density of t; subclasses add the path with `levels`."""

    density: Literal["logit-normal", "uniform"] = Field("logit-normal", description="density of training times t")
    mean: float = Field(0.0, ge=-5, le=5, description="mean of logit(t); below 0: nearer to noise")
    std: float = Field(1.0, ge=0.05, le=5, description="standard deviation of logit(t)")
    spacing: Literal["density", "uniform"] = Field(
        "density", description="sampling times: quantiles of the density, or uniform"
    )
    noise_scale: float = Field(1.0, gt=0, le=100, description="standard deviation of the noise")

    @model_validator(mode="after")
    def _uniform_has_no_shape(self) -> Self:
        for key, unused in (("mean", 0.0), ("std", 1.0)):
            if self.density == "uniform" and getattr(self, key) != unused:
                raise ValueError(
                    f"{key}: found {getattr(self, key)} with density uniform; expected density logit-normal"
                )
        return self

    def quantile(self, share: Tensor) -> Tensor:
        """Return the time below which `share` of the density lies."""
        if self.density == "uniform":
            return share
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(share))

    def grid_quantile(self, share: Tensor) -> Tensor:
        """Return the sampling time at `share` of the steps."""
        return self.quantile(share) if self.spacing == "density" else share
