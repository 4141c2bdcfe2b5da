"""The validation loss, which selects the best checkpoint."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import mean_with_interval
from jitkit.evaluation.validation import validation_losses


class Validation(Component):
    """The training loss on held-out windows under fixed noise, as in training."""

    name: ClassVar[str] = "validation"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return the mean `loss` over all held-out windows, with its interval; see `jitkit.evaluation.validation`."""
        advance, losses = context.counter("validation", len(context.held_out)), list[float]()
        for batch in validation_losses(
            context.pipeline.denoiser,
            context.held_out,
            seed=context.seed,
            batch_size=context.batch_size,
            device=context.pipeline.device,
        ):
            losses += batch
            advance(len(batch))
        return mean_with_interval("loss", losses, context.seed)
