"""A density that follows the training error."""

from __future__ import annotations

from typing import ClassVar

from jitkit.protocols import Codec, LearnedSchedule
from jitkit_plugins.schedules.fitted import Fitted
from jitkit_plugins.schedules.from_codec import Learned, Memory


class Adaptive(Fitted):
    """Density from the entropy rate of the running training error; 0.10 bits/byte worse than `flow` (3.05 vs. 2.95).

    Starts as `fitted` (Stancevic et al. 2025, "Entropic time schedulers"; the square root is from CoBit, 2605.07013).
    """

    name: ClassVar[str] = "adaptive"

    memory: Memory = 500

    def build(self, codec: Codec) -> LearnedSchedule:
        """Return the schedule before the first training step."""
        return Learned(self, codec, self.memory)
