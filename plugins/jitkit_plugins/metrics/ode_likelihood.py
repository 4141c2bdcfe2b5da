"""How well a model predicts unseen text when it writes without chance, by the ODE of its denoiser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext, evenly
from jitkit.evaluation.ode_likelihood import ode_bound
from jitkit_plugins.metrics.text_sizes import TextSizes, as_trained

LEAST_WINDOWS, SHARE = 2, 16  # each costs as much as some 400 passes: one in so many is enough


class OdeLikelihood(Component):
    """Upper bound of the bits that held-out text costs under the probability-flow ODE, at full and half the steps."""

    name: ClassVar[str] = "ode_likelihood"

    steps: Annotated[int, Field(ge=2, description="steps of Heun's method from text to noise")] = 32

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return one of few steps."""
        return cls(steps=4)

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return the figures of `Likelihood` for the `bound`, its parts, and the bound at half the steps.

        Of one in `SHARE` of the windows, evenly spaced. The last row is there for its distance from the first,
        which is the error of the solver, and the noise of its estimate. Raises InputError for windows without a character.
        """
        pipeline = context.pipeline
        windows = as_trained(context, context.windows)
        windows = evenly(windows, max(LEAST_WINDOWS, len(windows) // SHARE))
        sizes = TextSizes.of(windows, pipeline.tokenizer)
        halves = (self.steps, max(1, self.steps // 2))
        done, total = 0, len(windows) * sum(2 * steps + 1 for steps in halves)

        def advance(images: int) -> None:
            nonlocal done
            done += images
            context.progress("ODE likelihood", done, total)

        full, half = (
            ode_bound(
                pipeline.denoiser,
                windows,
                seed=context.seed,
                batch_size=context.batch_size,
                num_steps=steps,
                device=pipeline.device,
                advance=advance,
            )
            for steps in halves
        )
        parts = {
            "bound": full.flow + full.reconstruction,
            "flow": full.flow,
            "reconstruction": full.reconstruction,
            "bound, half the steps": half.flow + half.reconstruction,
        }
        return [sizes.row(name, bits, context.seed) for name, bits in parts.items()]
