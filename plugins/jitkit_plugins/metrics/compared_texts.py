"""The texts that are compared in one table: samples of the model, held-out text, and simple baselines."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from jitkit.documents.rows import HELD_OUT, MODEL
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.noise import window_generators
from jitkit.evaluation.texts import require_characters
from jitkit.protocols import Tokenizer
from jitkit_plugins.metrics.baselines import baseline_texts
from jitkit_plugins.metrics.ngrams import ngram_model_of


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters, with at most one apostrophe between them."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text)


def entropy(symbols: Iterable[Hashable], log: Callable[[float], float] = math.log) -> float:
    """Return the entropy of the empirical distribution of `symbols`, at least one.

    In nats by default; pass `math.log2` for bits.
    """
    counts = Counter(symbols)
    total = counts.total()
    return -math.fsum(count / total * log(count / total) for count in counts.values())


@dataclass(frozen=True)
class Sample:
    """A text and its tokens."""

    text: str
    ids: Sequence[int]  # of the model's tokenizer, without eos and pad
    data: bytes = b""
    ended: bool = False

    @cached_property
    def words(self) -> list[str]:
        """The words except the first and the last, which the ends of a window may have cut."""
        return words_of(self.text)[1:-1]


def held_out_samples(context: EvaluationContext, windows: Tensor) -> list[Sample]:
    """Return the texts of `windows` [N, L]. Raises InputError if none has a character."""
    samples = [_sample(context.pipeline.tokenizer, window) for window in windows]
    require_characters(sample.text for sample in samples)
    return samples


def compared_texts(context: EvaluationContext) -> dict[str, list[Sample]]:
    """Return the texts of the model, of held-out windows, and of each baseline by name; equally many of each.

    A text ends at its first eos, also in windows; each baseline has texts of the lengths of the held-out ones. Raises
    InputError for windows without a character, and CannotMeasureError without training text, which the baselines need.
    """
    tokenizer = context.pipeline.tokenizer
    held_out = held_out_samples(context, context.windows)
    baselines = baseline_texts(
        context.training_text,
        ngram_model_of(context.training_text),
        [len(sample.text) for sample in held_out],
        window_generators(context.seed, context.windows, "controls"),  # the name is part of the seed: never rename it
    )
    return {
        MODEL: [_sample(tokenizer, generated.tokens) for generated in context.samples],
        HELD_OUT: held_out,
        **{name: [Sample(text, tokenizer.encode(text)) for text in texts] for name, texts in baselines.items()},
    }


def _sample(tokenizer: Tokenizer, tokens: Tensor) -> Sample:
    """Return the text of a window [L] int64 up to its first eos."""
    ends = torch.nonzero(tokens == tokenizer.eos_id)[:, 0].tolist()
    ids = tokens.tolist()[: ends[0] if ends else None]
    ids = [token for token in ids if token != tokenizer.pad_id]
    return Sample(tokenizer.decode(ids), ids, tokenizer.decode_bytes(ids), ended=bool(ends))
