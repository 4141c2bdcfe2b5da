"""A density of two numbers that follows what the network has learned."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from jitkit.protocols import Codec, NoiseSchedule
from jitkit_plugins.schedules.entropy_rate import GumbelDensity
from jitkit_plugins.schedules.from_codec import Density, Fixed, FromCodec, Learned


class Gumbel(FromCodec):
    """A Gumbel density of log-SNR (LangFlow, 2604.11748), with location and scale of the entropy rate.

    Its long tail lies towards noise. The rate is the codec's at first and then, with `learn`, the network's. Location and
    scale follow from the rate's mean and deviation; LangFlow learns them by gradient.
    """

    name: ClassVar[str] = "gumbel"

    learn: Annotated[bool, Field(description="follow the network in training; false keeps what fits the codec")] = True
    memory: Annotated[
        int, Field(ge=1, le=1_000_000, description="images that the running error of a place in time remembers")
    ] = 500

    def density(self, weights: Tensor) -> Density:
        """Return the Gumbel density with the moments of the weights."""
        return GumbelDensity.with_moments_of(weights)

    def build(self, codec: Codec) -> NoiseSchedule:
        """Return the schedule as it is before the first step."""
        return Learned(self, codec, self.memory) if self.learn else Fixed(self, codec)
