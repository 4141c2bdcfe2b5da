"""The noise of a sampling trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jitkit.execution.device import to_device
from jitkit.execution.randomness import seeded_generator


class NoiseSource:
    """New noise for a batch at each call. The noise of an image depends only on its own seed."""

    def __init__(self, seeds: Sequence[int], image_size: int, scale: float, device: torch.device) -> None:
        self.shape, self.scale, self.device = (3, image_size, image_size), scale, device
        self.generators = [seeded_generator(seed) for seed in seeds]

    def __call__(self) -> Tensor:
        """Return noise [B, 3, H, W] float32 of standard deviation `scale` on `device`."""
        draws = [torch.randn(self.shape, generator=generator, dtype=torch.float32) for generator in self.generators]
        noise = torch.stack(draws)
        return to_device(noise, self.device) * self.scale
