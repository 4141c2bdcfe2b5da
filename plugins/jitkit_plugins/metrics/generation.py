"""Statistics of generated texts, next to held-out text and simple baselines."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import ClassVar, TypeVar

from jitkit.component import Component
from jitkit.documents.rows import HELD_OUT, MODEL, Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import jackknife_interval, mean_with_interval, ratio_with_interval, share_with_interval
from jitkit.evaluation.texts import END, is_utf8, joined_text
from jitkit_plugins.metrics.compared_texts import Sample, compared_texts, entropy, words_of
from jitkit_plugins.metrics.memorization import SuffixArray
from jitkit_plugins.metrics.ngrams import NGramModel, ngram_model_of

REPEAT = 12  # characters of a substring that should not occur twice
MAX_COPIED_FROM = 2**20  # characters of training text that are searched for copies
GROUPS = 20  # of texts for the jackknife
UNSCORED = 6  # characters at a text's start, which have no full history

_T = TypeVar("_T")


class Generation(Component):
    """Samples next to held-out text and simple baselines; good samples are close to held-out text in every row."""

    name: ClassVar[str] = "generation"
    frontier_columns: ClassVar[tuple[str, ...]] = (
        "judge_bits",
        "entropy",
        "known_words",
        "repeated",
        "distinct",
        "copied",
    )

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for the model, one for held-out text, and one for each baseline; see `statistics`."""
        texts = compared_texts(context)
        reference = Reference(context.training_text, ngram_model_of(context.training_text))
        return [
            {"text": name, **statistics(samples, reference, seed=context.seed, ends=name in (MODEL, HELD_OUT))}
            for name, samples in texts.items()
        ]


@dataclass(frozen=True)
class Reference:
    """A training text and its n-gram model."""

    training: str
    ngrams: NGramModel

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the training text."""
        return frozenset(words_of(self.training))

    @cached_property
    def suffixes(self) -> SuffixArray:
        """The substrings of the training text; a long one is represented by the beginning of every document."""
        documents = self.training.split(END)
        return SuffixArray(joined_text(lambda: documents, MAX_COPIED_FROM))

    def bits(self, text: str) -> float:
        """Return the bits per character of `text` after its first `UNSCORED` characters."""
        return float(self.ngrams.bits(text)[UNSCORED:].mean())


def statistics(samples: Sequence[Sample], reference: Reference, *, seed: int, ends: bool) -> dict[str, float]:
    """Return the statistics of `samples`, with 95 % intervals where each sample has a value of its own.

    - `judge_bits`: bits per character under the n-gram model, mean over samples.
    - `entropy`: of the token ids within a sample, in nats, mean over samples.
    - `known_words`: share of words that are in the training text.
    - `repeated`: share of 12-character substrings that occurred before, in this sample or another.
    - `distinct`: different pairs of words per pair of words, over all samples (distinct-2, Li et al. 2016).
    - `copied`: length of the longest substring that is in the training text, mean over samples; `most_copied`: maximum.
    - `compressed`: size of all samples after zlib, relative to their size before.
    - `characters`: mean length.
    - With `ends` (for texts decoded from tokens): `ended`, the share of samples with an eos, and `invalid`, the share
      whose bytes are not UTF-8.
    """
    texts = [sample.text for sample in samples]
    bits = [reference.bits(text) for text in texts if len(text) > UNSCORED]
    copied = [reference.suffixes.longest_match(text) for text in texts]
    known = [sum(word in reference.words for word in sample.words) for sample in samples]
    numbers = {
        **mean_with_interval("judge_bits", bits, seed),
        **mean_with_interval("entropy", [entropy(sample.ids) for sample in samples if sample.ids], seed),
        **ratio_with_interval("known_words", known, [len(sample.words) for sample in samples], seed),
        **_share("repeated", [[text[i : i + REPEAT] for i in range(len(text) - REPEAT + 1)] for text in texts], False),
        **_share("distinct", [list(pairwise(sample.words)) for sample in samples], True),
        **mean_with_interval("copied", copied, seed),
        **({"most_copied": max(copied)} if copied else {}),
        **_compressed(texts),
        **mean_with_interval("characters", [len(text) for text in texts], seed),
        "samples": len(samples),
    }
    if ends:
        numbers |= share_with_interval("ended", [sample.ended for sample in samples])
        numbers |= share_with_interval("invalid", [not is_utf8(sample.data) for sample in samples])
    return numbers


def _share(name: str, pieces: Sequence[Sequence[Hashable]], distinct: bool) -> dict[str, float]:
    """Return the share of pieces that are the first of their kind, or of all others; empty without pieces."""
    counts = Counter(chain.from_iterable(pieces))
    if not counts:
        return {}

    def share(first: int, total: int) -> float:
        return first / total if distinct else 1 - first / total

    without = []
    for group in _groups(pieces):
        left_out = Counter(chain.from_iterable(group))
        gone = sum(counts[piece] == num for piece, num in left_out.items())
        if counts.total() > left_out.total():
            without.append(share(len(counts) - gone, counts.total() - left_out.total()))
    return jackknife_interval(name, share(len(counts), counts.total()), without)


def _compressed(texts: Sequence[str]) -> dict[str, float]:
    """Return the compressed size of all texts relative to their size; empty without text."""

    def ratio(texts: Sequence[str]) -> float:
        data = "\n".join(sorted(texts)).encode()  # sorted, so that their order does not matter
        return len(zlib.compress(data, 9)) / len(data) if data else 0.0

    if not any(texts):
        return {}
    counts = Counter(texts)
    rest = [list((counts - Counter(group)).elements()) for group in _groups(texts)]
    without = [ratio(each) for each in rest if any(each)]
    return jackknife_interval("compressed", ratio(texts), without, maximum=math.inf)


def _groups(samples: Sequence[_T]) -> list[list[_T]]:
    """Return the samples in `GROUPS` groups of similar size, independent of their order."""
    mixed = sorted(samples, key=lambda sample: hashlib.blake2b(str(sample).encode(errors="surrogatepass")).digest())
    return [group for start in range(GROUPS) if (group := mixed[start::GROUPS])]
