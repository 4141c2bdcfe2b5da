"""The loop over the time grid that all built-in samplers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.diffusion.process import velocity_from_x
from jitkit.errors import UsageError
from jitkit.protocols import Denoise, Levels, Step


@dataclass
class StepContext:
    """The model, a source of fresh noise, and the last estimate, which the next evaluation takes as `x_prev`.

    Times are 0-dimensional tensors on the CPU; images keep their device and precision.
    """

    denoise: Denoise
    fresh_noise: Callable[[], Tensor]
    x_hat: Tensor | None = None  # the last estimate
    t: Tensor | None = None  # its time

    def levels(self, t: Tensor) -> Levels:
        """Return the levels of the path at `t`."""
        return self.denoise.schedule.levels(t)

    def estimate(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the clean images behind `z`, all at time `t`."""
        here = torch.full((), float(t), dtype=t.dtype, device=z.device)  # a copy would wait for a GPU
        self.x_hat, self.t = self.denoise(z, here.expand(len(z)), self.x_hat), t
        return self.x_hat

    def velocity(self, z: Tensor, t: Tensor) -> Tensor:
        """Return dz/dt at `z` according to the estimate there."""
        return velocity_from_x(self.estimate(z, t), z, self.levels(t))


class GridSampler(Component, ABC):
    """Base class of samplers that step through a grid of times; subclasses implement one step."""

    distillable: ClassVar[bool] = False

    steps: Annotated[int, Field(ge=1, le=100_000, description="number of steps from noise to image")] = 64

    @abstractmethod
    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return `z` at `t_next` from `z` at `t` < `t_next` < 1."""

    def sample(
        self,
        denoise: Denoise,
        z: Tensor,
        grid: Tensor,
        *,
        fresh_noise: Callable[[], Tensor],
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Return the image at the end of the sampling trajectory over `grid`, see `jitkit.protocols.Sampler`.

        Raises UsageError for a grid that does not rise to 1: t = 0 is noise, t = 1 is data.
        """
        if not (grid.diff() > 0).all() or grid[-1] != 1:
            raise UsageError("times that do not rise to 1", "t[0] < t[1] < ... < t[n] = 1", field="grid")
        context = StepContext(denoise, fresh_noise)
        for index, (t, t_next) in enumerate(pairwise(grid.cpu())):
            z = self.step(context, z, t, t_next) if t_next < 1 else context.estimate(z, t)
            if on_step is not None:
                assert context.x_hat is not None, "every step must evaluate the model"
                on_step(Step(index, len(grid) - 1, float(t_next), z, context.x_hat))
        return z
