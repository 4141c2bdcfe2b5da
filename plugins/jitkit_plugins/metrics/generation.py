"""What can be said of texts that came from noise, which nothing can be compared with word for word."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit_plugins.metrics.compared_texts import HELD_OUT, MODEL, compared_texts, judge_for
from jitkit_plugins.metrics.generation_statistics import Judge, statistics


class Generation(Component):
    """Texts from noise beside held-out text and texts that no model wrote; good ones are near held-out text in every row."""

    name: ClassVar[str] = "generation"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for the model, one for held-out text and one for each naive control; see `statistics`.

        Raises what `compared_texts` raises.
        """
        texts = compared_texts(context)
        judge = Judge(context.training_text, judge_for(context))
        return [
            {"text": name, **statistics(samples, judge, seed=context.seed, ends=name in (MODEL, HELD_OUT))}
            for name, samples in texts.items()
        ]
