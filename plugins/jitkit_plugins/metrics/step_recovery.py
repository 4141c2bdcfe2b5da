"""How many steps the model needs to recover text."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext, inner_times
from jitkit_plugins.metrics.recovery import accuracies, reconstructions_of, recover, trajectory_grid

STEPS = (2, 4)  # one step and eight are in the reconstructions
NUM_TIMES = 3


class StepRecovery(Component):
    """Share of held-out tokens recovered from noise at time t in one, two, four, and eight steps."""

    name: ClassVar[str] = "step_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each of three times: `steps_1` to `steps_8`, `contextless`, and `bigram`.

        Noise and trajectory are those of `TokenRecovery`: `steps_1` is its `one_step` and `steps_8` its `sampled`.
        """
        schedule = context.pipeline.denoiser.schedule
        by_time = {found.t: found for found in reconstructions_of(context)}
        times = inner_times(context.times, NUM_TIMES)
        grids = {(t, steps): trajectory_grid(schedule, t, steps) for t in times for steps in STEPS}
        total = sum(len(grid) - 1 for grid in grids.values()) * len(context.windows)
        advance = context.counter("recovery in few steps", total, shared=True)
        rows = []
        for t in times:
            known = by_time[t]
            found = {
                "steps_1": known.one_step,
                **{f"steps_{steps}": recover(context, grids[t, steps], advance) for steps in STEPS},
                "steps_8": known.sampled,
                "contextless": known.contextless,
                "bigram": known.bigram,
            }
            rows.append({"t": t, **accuracies(context, found)})
        return rows
