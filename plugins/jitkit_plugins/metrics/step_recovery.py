"""How many steps it takes to bring text back."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext, spread
from jitkit.evaluation.recovery import recover, trajectory_grid
from jitkit.evaluation.validation import evaluating
from jitkit_plugins.metrics.token_accuracy import kept

STEPS = (2, 4)  # one step and eight are in the reconstructions
NUM_TIMES = 3


class StepRecovery(Component):
    """Share of held-out tokens that come back from time t by walks of one, two, four and eight steps."""

    name: ClassVar[str] = "step_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each of three times: `steps_1` to `steps_8`, `contextless`, `bigram` as in `TokenRecovery`.

        Noise and walk are those of `TokenRecovery`, whose `one_step` and `sampled` are the first and the last.
        """
        pipeline, done = context.pipeline, 0
        lines = {reconstruction.t: reconstruction for reconstruction in context.reconstructions}
        times = spread(context.times, NUM_TIMES)
        grids = {(t, steps): trajectory_grid(pipeline.denoiser.schedule, t, steps) for t in times for steps in STEPS}
        total = sum(len(grid) - 1 for grid in grids.values()) * len(context.windows)

        def advance(images: int) -> None:
            nonlocal done
            done += images
            context.progress("recovery in few steps", done, total)

        rows = []
        for t in times:
            readings = {"steps_1": lines[t].one_step}
            with evaluating(pipeline.network):
                for steps in STEPS:
                    readings[f"steps_{steps}"] = recover(
                        pipeline,
                        context.windows,
                        grids[t, steps],
                        seed=context.seed,
                        batch_size=context.batch_size,
                        advance=advance,
                    )
            readings["steps_8"] = lines[t].sampled
            readings["contextless"] = lines[t].contextless
            if (bigram := lines[t].bigram) is not None:
                readings["bigram"] = bigram
            row = {"t": t}
            for name, tokens in readings.items():
                row |= kept(name, tokens, context.windows, context.counted, context.seed)
            rows.append(row)
        return rows
