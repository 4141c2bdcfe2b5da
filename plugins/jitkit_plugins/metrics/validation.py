"""The validation loss, which selects the best checkpoint."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

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
        pipeline, advance = context.pipeline, context.counter("validation", len(context.held_out), shared=True)

        def losses_of(windows: Tensor) -> list[Tensor]:
            size = len(windows)
            (losses,) = validation_losses(
                pipeline.denoiser, windows, seed=context.seed, batch_size=size, device=pipeline.device
            )
            advance(size)
            return [torch.tensor(losses, dtype=torch.float64)]

        (losses,) = context.over_batches(losses_of, context.held_out)
        return mean_with_interval("loss", losses.tolist(), context.seed)
