"""How much of a text comes back that was hidden, when the rest of it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.component import Component
from jitkit.documents.rows import Measurement, Row
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext
from jitkit.evaluation.infill import fill, fill_by_pairs
from jitkit.evaluation.noise import window_generators
from jitkit.evaluation.recovery import STEPS
from jitkit.evaluation.validation import evaluating
from jitkit_plugins.metrics.token_accuracy import kept

SHARES = {"15 %": 0.15, "50 %": 0.5}
SECOND_HALF = "second half"


class InfillRecovery(Component):
    """Share of hidden held-out tokens that the model fills in as they were: 15 %, 50 %, and the second half of a window."""

    name: ClassVar[str] = "infill_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each way to hide: `filled`, `contextless`, `bigram`, each in [0, 1], of the hidden tokens.

        The given tokens' pixels are clean in what the model is shown, the hidden ones' are pure noise at the first step; the walk is that of
        `TokenRecovery`. `contextless` is the best that one can do who knows nothing: always the commonest
        token. `bigram` sees the given neighbours. Padding is neither hidden nor counted. Raises CannotMeasureError for a
        model that can be given nothing.
        """
        if not context.pipeline.denoiser.can_be_given:
            raise CannotMeasureError(
                "a model without known pixels, its own estimate and a reading",
                "one trained with objective.self_conditioning or objective.known above 0, or with objective.reading",
                field="infill_recovery",
            )
        advance = _bar(context)
        commonest = context.windows[context.counted].mode().values
        rows: list[Row] = []
        for name, hidden in _ways_to_hide(context):
            with evaluating(context.pipeline.network):
                filled = fill(
                    context.pipeline,
                    context.windows,
                    hidden,
                    seed=context.seed,
                    batch_size=context.batch_size,
                    advance=advance,
                )
            readings = {"filled": filled, "contextless": commonest.expand_as(filled)}
            if context.bigrams is not None:
                readings["bigram"] = fill_by_pairs(context.bigrams, context.windows, hidden, context.batch_size)
            row: dict[str, float | str] = {"hidden": name}
            for key, tokens in readings.items():
                row |= kept(key, tokens, context.windows, hidden, context.seed)
            rows.append({**row, "tokens": int(hidden.sum())})
        return rows


def _ways_to_hide(context: EvaluationContext) -> Iterator[tuple[str, Tensor]]:
    """Yield each way's name and the hidden tokens [N, L] bool, which belong to the window."""
    num, length = context.windows.shape
    generators = window_generators(context.seed, context.windows, "hidden")
    order = torch.stack([torch.rand(length, generator=generator) for generator in generators]).argsort(1).argsort(1)
    for name, share in SHARES.items():
        yield name, (order < max(1, round(share * length))) & context.counted
    yield SECOND_HALF, (torch.arange(length) >= length // 2).expand(num, -1) & context.counted


def _bar(context: EvaluationContext) -> Callable[[int], None]:
    done, total = 0, (len(SHARES) + 1) * STEPS * len(context.windows)

    def advance(images: int) -> None:
        nonlocal done
        done += images
        context.progress("infilling", done, total)

    return advance
