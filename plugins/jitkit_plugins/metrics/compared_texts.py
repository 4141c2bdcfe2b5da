"""The texts that are compared in one table: samples of the model, held-out text, and simple baselines.

Each baseline is poor text, but wins some column of the table. An n-gram model alone prefers copies, entropy alone prefers
noise; only all columns together tell them from real text. (Periodic and shuffled copies that beat trained models in
perplexity: 2606.08417.)
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from jitkit.documents.rows import HELD_OUT, MODEL
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.noise import window_generators
from jitkit.evaluation.texts import require_characters
from jitkit.protocols import Tokenizer
from jitkit_plugins.metrics.ngrams import NGramModel, ngram_model_of

PERIOD = 64  # characters of the phrase that a periodic text repeats, at most


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
    samples = [sample_of(context.pipeline.tokenizer, window) for window in windows]
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
        MODEL: [sample_of(tokenizer, generated.tokens) for generated in context.samples],
        HELD_OUT: held_out,
        **{name: [Sample(text, tokenizer.encode(text)) for text in texts] for name, texts in baselines.items()},
    }


def sample_of(tokenizer: Tokenizer, tokens: Tensor) -> Sample:
    """Return the text of a window [L] int64 up to its first eos."""
    ends = torch.nonzero(tokens == tokenizer.eos_id)[:, 0].tolist()
    ids = tokens.tolist()[: ends[0] if ends else None]
    ids = [token for token in ids if token != tokenizer.pad_id]
    return Sample(tokenizer.decode(ids), ids, tokenizer.decode_bytes(ids), ended=bool(ends))


def baseline_texts(
    training: str, model: NGramModel, lengths: Sequence[int], generators: Sequence[torch.Generator]
) -> dict[str, list[str]]:
    """Return the texts of every baseline by its name, one text for each of `lengths` (in characters).

    `shuffled words`: a passage of `training` with its words in random order. `unigram`: independent characters. `6-gram`:
    samples of `model`. `periodic`: a phrase of `training`, repeated. A text depends on its own generator and length only.
    """
    unigram = NGramModel(training, order=1)
    pairs = list(zip(lengths, generators, strict=True))
    return {
        "shuffled words": [_shuffled(training, length, generator) for length, generator in pairs],
        "unigram": _sampled(unigram, lengths, generators),
        f"{model.order}-gram": _sampled(model, lengths, generators),
        "periodic": [
            _passage(training, length, generator, min(PERIOD, -(-length // 4))) for length, generator in pairs
        ],
    }


def _shuffled(training: str, length: int, generator: torch.Generator) -> str:
    """Return a passage with its words in random order and its spaces unchanged."""
    pieces = re.split(r"(\s+)", _passage(training, length, generator))
    words = pieces[::2]
    order = torch.randperm(len(words), generator=generator).tolist()
    pieces[::2] = [words[place] for place in order]
    return "".join(pieces)


def _passage(training: str, length: int, generator: torch.Generator, period: int | None = None) -> str:
    """Return `length` characters: the `period` (default: `length`) characters at a random position, repeated."""
    period = length if period is None else period
    start = int(torch.randint(max(1, len(training) - period + 1), (1,), generator=generator))
    phrase = training[start : start + period]
    return (phrase * (length // max(1, len(phrase)) + 1))[:length]


def _sampled(model: NGramModel, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> list[str]:
    uniforms = np.zeros((len(lengths), max(lengths), model.order + 1))
    for row, length, generator in zip(uniforms, lengths, generators, strict=True):
        row[:length] = torch.rand(length, model.order + 1, generator=generator, dtype=torch.float64).numpy()
    return model.sample(np.array(lengths), uniforms)
