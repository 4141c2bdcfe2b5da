"""The texts that stand in one table: the model's, held-out ones, and those that no model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from jitkit.errors import InputError
from jitkit.evaluation.baselines import baseline_texts
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.ngrams import NGrams, ngrams_of
from jitkit.evaluation.noise import window_generators
from jitkit.protocols import Tokenizer
from jitkit_plugins.metrics.words import words_of

MODEL, HELD_OUT = "model", "held-out"


@dataclass(frozen=True)
class Sample:
    """A text, and what it was read from."""

    text: str
    ids: Sequence[int]  # of the model's own tokenizer, neither eos nor pad
    data: bytes = b""
    ended: bool = False

    @cached_property
    def words(self) -> list[str]:
        """The words but the first and the last, which the ends of a window may have cut."""
        return words_of(self.text)[1:-1]


def judge_for(context: EvaluationContext) -> NGrams:
    """Return the n-grams of the training text."""
    return ngrams_of(context.training_text)


def held_out_samples(context: EvaluationContext, windows: Tensor) -> list[Sample]:
    """Return the texts of `windows` [N, L]. Raises InputError where none has a character."""
    samples = [_sample(context.pipeline.tokenizer, window) for window in windows]
    if not any(sample.text for sample in samples):
        raise InputError("held-out windows without a character", "text")
    return samples


def compared_texts(context: EvaluationContext) -> dict[str, list[Sample]]:
    """Return the texts of the model, of held-out windows, and of each naive control, as many each, by name.

    As many texts are sampled as windows are measured. A text ends at its first eos, in windows too; every control has a
    text of the length of each held-out one. Raises InputError for windows without a character, and CannotMeasureError
    without training text, which the controls need.
    """
    tokenizer = context.pipeline.tokenizer
    held_out = held_out_samples(context, context.windows)
    controls = baseline_texts(
        context.training_text,
        judge_for(context),
        [len(sample.text) for sample in held_out],
        window_generators(context.seed, context.windows, "controls"),
    )
    return {
        MODEL: [_sample(tokenizer, generated.tokens) for generated in context.samples],
        HELD_OUT: held_out,
        **{name: [Sample(text, tokenizer.encode(text)) for text in texts] for name, texts in controls.items()},
    }


def _sample(tokenizer: Tokenizer, tokens: Tensor) -> Sample:
    """Return the text of a window [L] int64 up to its first eos."""
    ends = torch.nonzero(tokens == tokenizer.eos_id)[:, 0].tolist()
    ids = tokens.tolist()[: ends[0] if ends else None]
    ids = [token for token in ids if token != tokenizer.pad_id]
    return Sample(tokenizer.decode(ids), ids, tokenizer.decode_bytes(ids), ended=bool(ends))
