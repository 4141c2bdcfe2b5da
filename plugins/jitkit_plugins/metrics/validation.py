"""The figure that decides which checkpoint is best."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.evaluation.subject import Subject
from jitkit.evaluation.validation import validation_loss
from jitkit.protocols import Measurement


class Validation(Component):
    """The training loss on held-out windows under fixed noise, as training itself measures it."""

    name: ClassVar[str] = "validation"

    def measure(self, subject: Subject) -> Measurement:
        """Return the mean `loss` over all held-out windows; see `jitkit.evaluation.validation`."""
        done = 0

        def advance(windows: int) -> None:
            nonlocal done
            done += windows
            subject.progress("validation", done, len(subject.held_out))

        loss = validation_loss(
            subject.pipeline.denoiser,
            subject.held_out,
            seed=subject.seed,
            batch_size=subject.batch_size,
            device=subject.pipeline.device,
            advance=advance,
        )
        return {"loss": loss}
