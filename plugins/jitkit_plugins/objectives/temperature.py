"""Settings that token objectives share: the temperature of estimates, and an additional v-loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from jitkit.diffusion.conditioning import Conditioning

MIN_TEMPERATURE = 2.0**-24  # smallest positive value of 1 + (temperature - 1) in float32


class Tempered(Conditioning):
    """Base class of objectives whose estimates have a temperature."""

    temperature: float = Field(
        1.0, gt=0, le=10, description="softmax temperature of estimates when sampling; below 1 for less varied texts"
    )
    temperature_at: float = Field(
        0.0, ge=0, le=1, description="time at which the temperature is reached, linearly from 1 at t = 0; 0: always"
    )
    flow_weight: float = Field(0.0, ge=0, le=1000, description="weight of an additional v-loss of the estimate")

    def temperatures(self, t: Tensor) -> Tensor:
        """Return the temperature at times `t` [B]: 1 at noise, then linear to `temperature` at `temperature_at`.

        An estimate from pure noise shows token frequencies. Sharpened, it would show the most frequent token everywhere,
        and a self-conditioned network may copy it: texts of blanks.
        """
        share = (t / self.temperature_at).clamp(max=1) if self.temperature_at else torch.ones_like(t)
        return (1 + share * (self.temperature - 1)).clamp(min=MIN_TEMPERATURE)
