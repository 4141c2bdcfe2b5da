"""How many steps the model needs to recover text."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext, inner_times
from jitkit_plugins.metrics.recovery import accuracy_with_interval, reconstructions_of, recover, trajectory_grid

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
        by_time = {reconstruction.t: reconstruction for reconstruction in reconstructions_of(context)}
        times = inner_times(context.times, NUM_TIMES)
        grids = {(t, steps): trajectory_grid(schedule, t, steps) for t in times for steps in STEPS}
        total = sum(len(grid) - 1 for grid in grids.values()) * len(context.windows)
        advance = context.counter("recovery in few steps", total)
        rows = []
        for t in times:
            found = {"steps_1": by_time[t].one_step}
            found |= {f"steps_{steps}": recover(context, grids[t, steps], advance) for steps in STEPS}
            found |= {"steps_8": by_time[t].sampled, "contextless": by_time[t].contextless}
            if (bigram := by_time[t].bigram) is not None:
                found["bigram"] = bigram
            row = {"t": t}
            for name, tokens in found.items():
                row |= accuracy_with_interval(name, tokens, context.windows, context.text_mask, context.seed)
            rows.append(row)
        return rows
