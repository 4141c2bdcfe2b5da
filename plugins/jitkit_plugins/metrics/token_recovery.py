"""How many tokens of unseen text come back out of noise."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit_plugins.metrics.token_accuracy import kept


class TokenRecovery(Component):
    """Share of held-out tokens that come back from time t, in one step and in eight, beside lines without a model."""

    name: ClassVar[str] = "token_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: `one_step`, `sampled`, `contextless`, each in [0, 1]; padding is not counted.

        `bigram`, the reading by pairs of tokens, where there is training text to count them in.
        """
        rows = []
        for reconstruction in context.reconstructions:
            row = {"t": reconstruction.t}
            for name in ("one_step", "sampled", "contextless", "bigram"):
                tokens = getattr(reconstruction, name)
                if tokens is not None:
                    row |= kept(name, tokens, context.windows, context.counted, context.seed)
            rows.append(row)
        return rows
