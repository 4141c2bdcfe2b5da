"""The base class of token objectives: temperature and evidence of estimates, and an additional v-loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import SAMPLING
from jitkit.diffusion.conditioning import Conditioning

MIN_TEMPERATURE = 2.0**-24  # smallest positive value of 1 + (temperature - 1) in float32


class TokenObjective(Conditioning):
    """Base class of objectives whose estimates combine the evidence of the image with the network's context.

    While a text is sampled, `z` comes from earlier estimates of the network. Its mistakes look like evidence for
    themselves: a wrong letter stays, however clearly the letters around it contradict. Less weight for the evidence lets
    the context correct it.
    """

    temperature: Annotated[float, SAMPLING] = Field(
        1.0, gt=0, le=10, description="softmax temperature of estimates when sampling; below 1 for less varied texts"
    )
    temperature_at: Annotated[float, SAMPLING] = Field(
        0.0, ge=0, le=1, description="time at which the temperature is reached, linearly from 1 at t = 0; 0: always"
    )
    evidence: Annotated[float, SAMPLING] = Field(
        1.0,
        gt=0,
        le=1,
        description="weight of the image's evidence next to the context when sampling; below 1, mistakes are corrected",
    )
    flow_weight: float = Field(0.0, ge=0, le=1000, description="weight of an additional v-loss of the estimate")

    def temperatures(self, t: Tensor) -> Tensor:
        """Return the temperature at times `t` [B]: 1 at noise, then linear to `temperature` at `temperature_at`.

        An estimate from pure noise shows token frequencies. Sharpened, it would show the most frequent token everywhere,
        and a self-conditioned network may copy it: texts of blanks.
        """
        share = (t / self.temperature_at).clamp(max=1) if self.temperature_at else torch.ones_like(t)
        return (1 + share * (self.temperature - 1)).clamp(min=MIN_TEMPERATURE)
