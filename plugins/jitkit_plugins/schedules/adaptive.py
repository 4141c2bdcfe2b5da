"""A density that follows what the network has learned."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from jitkit.protocols import Codec, LearnedSchedule
from jitkit_plugins.schedules.fitted import Fitted
from jitkit_plugins.schedules.from_codec import Learned


class Adaptive(Fitted):
    """Trains and samples where the network learns the most of the text: the entropy rate, from the running error.

    Starts as `fitted` (Stancevic et al. 2025, "Entropic time schedulers"; the square root is CoBit's, 2605.07013).
    """

    name: ClassVar[str] = "adaptive"

    memory: Annotated[
        int, Field(ge=1, le=1_000_000, description="images that the running error of a place in time remembers")
    ] = 500

    def build(self, codec: Codec) -> LearnedSchedule:
        """Return the schedule as it is before the first step."""
        return Learned(self, codec, self.memory)
