"""The straight path from noise to data."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from jitkit.protocols import Levels
from jitkit_plugins.schedules.density import DensityOfTime


class Flow(DensityOfTime):
    """Straight path: alpha = t, sigma = 1 - t (flow matching, Lipman et al. 2022; JiT, 2511.13720).

    The velocity, x - noise, is constant along the path.
    """

    name: ClassVar[str] = "flow"
    is_default: ClassVar[bool] = True

    def levels(self, t: Tensor) -> Levels:
        """Return alpha = t, sigma = 1 - t and their derivatives 1 and -1."""
        one = torch.ones_like(t)
        return Levels(alpha=t, sigma=1 - t, d_alpha=one, d_sigma=-one)

    def time_at(self, log_ratio: Tensor) -> Tensor:
        """Return the time at which log(alpha / sigma) is `log_ratio`, which may be infinite."""
        return torch.sigmoid(log_ratio)
