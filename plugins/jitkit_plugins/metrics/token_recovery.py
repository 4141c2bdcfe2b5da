"""How many tokens of held-out text the model recovers from noise."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit_plugins.metrics.recovery import accuracies, reconstructions_of


class TokenRecovery(Component):
    """Share of held-out tokens recovered from noise at time t, in one step and in eight, with two baselines."""

    name: ClassVar[str] = "token_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: `one_step`, `sampled`, `contextless`, each in [0, 1], without padding.

        With training text, also the baseline `bigram`.
        """
        return [{"t": found.t, **accuracies(context, found.tokens)} for found in reconstructions_of(context)]
