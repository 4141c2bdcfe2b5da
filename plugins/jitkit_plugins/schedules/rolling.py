"""Text from left to right: the beginning of a text is ahead of its end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.protocols import Codec, Levels, NoiseSchedule
from jitkit_plugins.schedules.density import TICKS, QuantileTimes
from jitkit_plugins.schedules.flow import Flow

ROLLING_SHARE = 0.5  # of the training images have a lead
MARGIN = 0.1  # of the length of a text, for training times that lie before its beginning or after its end
WIDEST = 9.0  # standard deviations to either side that hold all of a normal distribution in float64


class Rolling(Component):
    """Straight path with earlier times at the end of the text: words are decided from left to right, but overlap.

    With t the time in the middle of the text, a token at position p in [0, 1] has the time of the logit
    ``logit(t) + lead (1/2 - p)``. All tokens are noise at t = 0 and data at t = 1. (Rolling Diffusion Models, Ruhe et al.
    2024, 2402.09470; AR-Diffusion, Wu et al. 2023, 2305.09515.)

    In training, half of the images have one time, as in `flow`. The others have any lead up to `max_lead`, so the network
    learns to continue a clean beginning, and the lead of a trained model can be changed.
    """

    name: ClassVar[str] = "rolling"

    lead: float = Field(4.0, gt=0, le=64, description="in sampling, logit(t) of the first token minus that of the last")
    max_lead: float = Field(8.0, ge=0, le=64, description="in training, the largest lead")
    mean: float = Field(0.0, ge=-5, le=5, description="mean of logit(t) in training; below 0: nearer to noise")
    std: float = Field(1.0, ge=0.05, le=5, description="standard deviation of logit(t) where a text is decided")
    noise_scale: float = Field(1.0, gt=0, le=100, description="standard deviation of the noise")

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule of the images of a codec."""
        return RollingTimes(self, codec)


@dataclass(eq=False)
class RollingTimes(QuantileTimes):
    """A `Rolling` schedule. Implements `jitkit.protocols.PixelSchedule`."""

    settings: Rolling
    codec: Codec

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise."""
        return self.settings.noise_scale

    def levels(self, t: Tensor) -> Levels:
        """Return the path in the middle of the text."""
        return Flow().levels(t)

    def pixel_times(self, t: Tensor) -> Tensor:
        """Return the time of each pixel [1 or B, 1, H, W] at `t`, 0-dimensional or [B, 1, 1, 1].

        With r times the odds of t, it is ``r t / (1 - t + r t)``.
        """
        odds = (self.settings.lead * self._ahead.to(t)).exp()
        inside = (odds * t / (1 - t + odds * t)).clamp(1 / TICKS, 1 - 1 / TICKS)  # rounding must not reach the ends
        return torch.where((t > 0) & (t < 1), inside, t)

    def draw_pixel_times(self, num: int, generator: torch.Generator) -> Tensor:
        """Return times [num, 1, H, W] of the pixels of training images.

        A time is drawn for some place of the text, anywhere from a little before its beginning to a little after its end.
        """
        logit = torch.logit(Flow(mean=self.settings.mean, std=self.settings.std).draw(num, generator))
        place, share, coin = torch.rand(3, num, 1, 1, 1, generator=generator)
        lead = self.settings.max_lead * share * (coin < ROLLING_SHARE)
        ahead = self._ahead - (0.5 - (1 + 2 * MARGIN) * place + MARGIN)
        return torch.sigmoid(logit[:, None, None, None] + lead * ahead).clamp(1 / TICKS, 1 - 1 / TICKS)

    @cached_property
    def _ahead(self) -> Tensor:
        """How far each pixel is before the middle of the text, [1, 1, H, W]: from 1/2 at the beginning to -1/2."""
        place = torch.linspace(0.5, -0.5, self.codec.capacity)[None, :, None]
        return self.codec.image_from_values(place.repeat(1, 1, self.codec.pixels_per_token))

    def quantile(self, share: Tensor) -> Tensor:
        """Return the time in the middle of the text at which `share` of the text is decided.

        A place is decided at a normal logit(t) of its own, which is uniform over the lead in the middle of the text. Found
        by bisection.
        """
        settings = self.settings
        reach = settings.lead / 2 + WIDEST * settings.std
        low, high = (torch.full_like(share, settings.mean + end) for end in (-reach, reach))
        for _ in range(60):
            middle = (low + high) / 2
            below = self._share_below(middle) < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        inside = torch.sigmoid((low + high) / 2)
        return torch.where(share <= 0, 0.0, torch.where(share >= 1, 1.0, inside))

    def _share_below(self, logit: Tensor) -> Tensor:
        """Return the share of the text that is decided before logit(t) in the middle is `logit`."""
        settings = self.settings
        high, low = ((logit - settings.mean + side * settings.lead / 2) / settings.std for side in (1, -1))
        return (_integral(high) - _integral(low)) * settings.std / settings.lead


def _integral(x: Tensor) -> Tensor:
    """Return the integral of the normal distribution function from minus infinity to `x`."""
    density = torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5
    integral: Tensor = x * torch.special.ndtr(x) + density
    return integral
