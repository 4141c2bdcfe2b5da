"""The time to save a checkpoint, and how often to save when devices fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jitkit.plan.devices import Figure

# 419 unexpected interruptions in 54 days on 16,384 devices: one in 51,000 hours of a device.
MTBF_HOURS = Figure(
    50_000, "published", "Llama 3, arXiv 2407.21783, section 3.3.4: 419 failures of 16,384 H100 in 54 days"
)
WRITE_RATE = Figure(0.41e9, "measured", "writing, syncing, and hashing 268 MB on two Xeon cores")


@dataclass(frozen=True)
class Saving:
    """Checkpoints of a run whose devices fail now and then."""

    num_bytes: int
    seconds: float  # to save one
    failure_seconds: float  # mean time between failures of any device

    @classmethod
    def of(cls, num_bytes: int, *, writers: int, count: int, write_rate: float, mtbf_hours: float) -> Saving:
        """Return the checkpoints of a run on `count` devices, each written in parts by `writers` of them."""
        return cls(num_bytes, num_bytes / (writers * write_rate), mtbf_hours * 3600 / count)

    @property
    def interval(self) -> float:
        """Seconds between checkpoints that lose the least time (Young 1974, Daly 2006)."""
        return math.sqrt(2 * self.seconds * self.failure_seconds)

    @property
    def lost(self) -> float:
        """The share of time that saving and repeated steps take at this interval, if training waits for each save."""
        return min(1.0, self.seconds / self.interval + self.interval / (2 * self.failure_seconds))
