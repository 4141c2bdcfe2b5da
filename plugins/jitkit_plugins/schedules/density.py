"""A density of t, whose quantile function gives training times and sampling times."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from jitkit.component import Component
from jitkit_plugins.schedules import quantiles


class DensityOfTime(Component):
    """Base class of schedules with a fixed density of t; subclasses add the path with `levels`."""

    density: Annotated[Literal["logit-normal", "uniform"], Field(description="density of training times t")] = (
        "logit-normal"
    )
    mean: Annotated[float, Field(ge=-5, le=5, description="mean of logit(t); below 0: nearer to noise")] = 0.0
    std: Annotated[float, Field(ge=0.05, le=5, description="standard deviation of logit(t)")] = 1.0
    spacing: Annotated[
        Literal["density", "uniform"], Field(description="sampling times: quantiles of the density, or uniform")
    ] = "density"
    noise_scale: Annotated[float, Field(gt=0, le=100, description="standard deviation of the noise")] = 1.0

    @model_validator(mode="after")
    def _uniform_has_no_shape(self) -> Self:
        for key, unused in (("mean", 0.0), ("std", 1.0)):
            if self.density == "uniform" and getattr(self, key) != unused:
                raise ValueError(
                    f"{key}: found {getattr(self, key)} with density uniform; expected density logit-normal"
                )
        return self

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` times [num] float32 in (0, 1), on the CPU; see `quantiles.draw`."""
        return quantiles.draw(self._quantile, num, generator)

    def grid(self, num_steps: int) -> Tensor:
        """Return the sampling times [num_steps + 1] float32 from exactly 0 to exactly 1; see `quantiles.grid`."""
        return quantiles.grid(self._quantile if self.spacing == "density" else _uniform, num_steps)

    def _quantile(self, share: Tensor) -> Tensor:
        if self.density == "uniform":
            return share
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(share))


def _uniform(share: Tensor) -> Tensor:
    return share
