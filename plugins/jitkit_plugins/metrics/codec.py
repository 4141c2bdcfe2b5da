"""Does the codec lose anything?"""

from __future__ import annotations

from typing import ClassVar

import torch

from jitkit.component import Component
from jitkit.evaluation.subject import Subject
from jitkit.protocols import Measurement


class CodecRoundTrip(Component):
    """Share of held-out tokens that survive tokens -> 8-bit picture -> tokens; anything below 1 is a broken codec."""

    name: ClassVar[str] = "codec"

    def measure(self, subject: Subject) -> Measurement:
        """Return `round_trip_accuracy` in [0, 1] over every position of the held-out windows, padding included."""
        codec = subject.pipeline.codec
        kept = [
            int((codec.decode_bytes(codec.encode_bytes(tokens)) == tokens).sum())
            for tokens in torch.split(subject.held_out, subject.batch_size)
        ]
        return {"round_trip_accuracy": sum(kept) / subject.held_out.numel()}
