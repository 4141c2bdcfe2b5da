"""A density that follows from the codec, before any training."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.schedules.entropy_rate import Histogram
from jitkit_plugins.schedules.from_codec import Density, FromCodec


class Fitted(FromCodec):
    """Trains and samples where the codec's own colours tell the most: the density follows its entropy rate.

    Of a token read alone, codeword by codeword; no text and no network is asked.
    """

    name: ClassVar[str] = "fitted"

    def density(self, weights: Tensor) -> Density:
        """Return the histogram itself."""
        return Histogram(weights)
