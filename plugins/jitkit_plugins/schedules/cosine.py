"""The circular path from noise to data."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.protocols import Levels
from jitkit_plugins.schedules.density import DensityOfTime


class Cosine(DensityOfTime):
    """Quarter circle: alpha = sin(pi t / 2), sigma = cos(pi t / 2) (Nichol and Dhariwal 2021, with time reversed).

    With noise_scale 1, data of variance 1 keeps this variance along the path.
    """

    name: ClassVar[str] = "cosine"

    def levels(self, t: Tensor) -> Levels:
        """Return alpha = sin(pi t / 2), sigma = cos(pi t / 2) and their derivatives by t."""
        quarter = math.pi / 2
        alpha = torch.sin(quarter * t)
        sigma = torch.sin(quarter * (1 - t))  # the cosine, and exactly 0 at t = 1
        return Levels(alpha, sigma, d_alpha=quarter * sigma, d_sigma=-quarter * alpha)

    def time_at(self, log_ratio: Tensor) -> Tensor:
        """Return the time at which log(alpha / sigma) is `log_ratio`, which may be infinite."""
        return torch.atan(log_ratio.exp()) * 2 / math.pi
