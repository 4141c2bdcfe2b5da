"""How many tokens of held-out text the model recovers from noise."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit_plugins.metrics.recovery import accuracy_with_interval, reconstructions_of


class TokenRecovery(Component):
    """Share of held-out tokens recovered from noise at time t, in one step and in eight, with two baselines."""

    name: ClassVar[str] = "token_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: `one_step`, `sampled`, `contextless`, each in [0, 1], without padding.

        With training text, also the baseline `bigram`.
        """
        rows = []
        for reconstruction in reconstructions_of(context):
            row = {"t": reconstruction.t}
            for name in ("one_step", "sampled", "contextless", "bigram"):
                tokens = getattr(reconstruction, name)
                if tokens is not None:
                    row |= accuracy_with_interval(name, tokens, context.windows, context.text_mask, context.seed)
            rows.append(row)
        return rows
