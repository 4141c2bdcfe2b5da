"""The figure that decides which checkpoint is best."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.evaluation.intervals import mean_with_interval
from jitkit.evaluation.subject import Subject
from jitkit.evaluation.validation import validation_losses
from jitkit.protocols import Measurement


class Validation(Component):
    """The training loss on held-out windows under fixed noise, as training itself measures it."""

    name: ClassVar[str] = "validation"

    def measure(self, subject: Subject) -> Measurement:
        """Return the mean `loss` over all held-out windows, with its interval; see `jitkit.evaluation.validation`."""
        done = 0

        def advance(windows: int) -> None:
            nonlocal done
            done += windows
            subject.progress("validation", done, len(subject.held_out))

        losses = validation_losses(
            subject.pipeline.denoiser,
            subject.held_out,
            seed=subject.seed,
            batch_size=subject.batch_size,
            device=subject.pipeline.device,
            advance=advance,
        )
        return mean_with_interval("loss", losses, subject.seed)
