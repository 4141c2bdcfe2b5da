"""A density that follows from the codec alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.schedules.entropy_rate import Histogram
from jitkit_plugins.schedules.from_codec import Density, FromCodec


class Fitted(FromCodec):
    """Density from the codec's entropy rate; 0.09 bits/byte worse than `flow` in our measurements (3.04 vs. 2.95).

    The rate is that of the context-free posterior, so it needs neither text nor a network.
    """

    name: ClassVar[str] = "fitted"

    def density(self, weights: Tensor) -> Density:
        """Return the histogram with these weights."""
        return Histogram(weights)
