"""What one step of a sampler may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.diffusion.process import velocity_from_x
from jitkit.protocols import Denoise, Levels


@dataclass
class StepContext:
    """The model, a source of fresh noise, and the last estimate, which the next evaluation takes as `x_prev`.

    Times are 0-dimensional tensors on the CPU; of a `PixelSchedule`, they are those of the pixels [1, 1, H, W] on the device
    of the images. Images keep their device and precision.
    """

    denoise: Denoise
    fresh_noise: Callable[[], Tensor]
    passes: int = 1  # evaluations for each estimate
    x_hat: Tensor | None = None  # the last estimate
    t: Tensor | None = None  # its time

    def levels(self, t: Tensor) -> Levels:
        """Return the levels of the path at `t`."""
        return self.denoise.schedule.levels(t)

    def estimate(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the clean images behind `z`, all at time `t`: that of the last of `passes` evaluations."""
        here = (
            torch.full((1,), float(t), dtype=t.dtype, device=z.device) if t.ndim == 0 else t
        )  # no copy: it would wait
        for _ in range(self.passes):
            self.x_hat = self.denoise(z, here.expand(len(z), *t.shape[1:]), self.x_hat)
        assert self.x_hat is not None, "passes is at least 1"
        self.t = t
        return self.x_hat

    def velocity(self, z: Tensor, t: Tensor) -> Tensor:
        """Return dz/dt at `z` according to the estimate there."""
        return velocity_from_x(self.estimate(z, t), z, self.levels(t))
