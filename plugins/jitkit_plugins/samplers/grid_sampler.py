"""The loop over the time grid that all built-in samplers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.diffusion.process import times_at
from jitkit.errors import UsageError
from jitkit.protocols import Denoise, Step
from jitkit_plugins.samplers.step_context import StepContext


class GridSampler(Component, ABC):
    """Base class of samplers that step through a grid of times; subclasses implement one step."""

    steps: int = Field(64, ge=1, le=100_000, description="number of steps from noise to image")
    passes: int = Field(1, ge=1, le=100, description="evaluations per estimate, all at the same z")

    @property
    def distillable(self) -> bool:
        """False, unless a sampler takes plain Euler steps."""
        return False

    @abstractmethod
    def step(self, context: StepContext, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return `z` at `t_next` from `z` at `t` < `t_next` < 1; the times are those of `StepContext`."""

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
        context = StepContext(denoise, fresh_noise, self.passes)
        grid = grid.cpu()
        times = pairwise(times_at(denoise.schedule, t, z.device) for t in grid)
        for index, ((t, t_next), end) in enumerate(zip(times, grid[1:], strict=True)):
            z = self.step(context, z, t, t_next) if end < 1 else context.estimate(z, t)
            if on_step is not None:
                assert context.x_hat is not None, "every step must evaluate the model"
                on_step(Step(index, len(grid) - 1, float(end), z, context.x_hat))
        return z
