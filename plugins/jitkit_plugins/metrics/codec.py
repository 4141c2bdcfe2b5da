"""Round-trip accuracy of the codec."""

from __future__ import annotations

from typing import ClassVar

import torch

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext


class CodecRoundTrip(Component):
    """Share of held-out tokens that survive tokens -> 8-bit image -> tokens; anything below 1 is a broken codec."""

    name: ClassVar[str] = "codec"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `round_trip_accuracy` in [0, 1] over every position of the held-out windows, including padding."""
        codec = context.pipeline.codec
        correct = [
            int((codec.decode_bytes(codec.encode_bytes(tokens)) == tokens).sum())
            for tokens in torch.split(context.held_out, context.batch_size)
        ]
        return {"round_trip_accuracy": sum(correct) / context.held_out.numel()}
