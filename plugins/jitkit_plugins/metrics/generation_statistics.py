"""The numbers of a set of texts, each with its definition."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TypeVar

from jitkit.evaluation.intervals import jackknifed, mean_with_interval, ratio_with_interval, share_with_interval
from jitkit.evaluation.memorization import Memorization
from jitkit.evaluation.ngrams import NGrams
from jitkit.evaluation.reference import reference_text
from jitkit.evaluation.texts import END_OF_DOCUMENT, is_utf8
from jitkit_plugins.metrics.compared_texts import Sample
from jitkit_plugins.metrics.words import words_of

REPEAT = 12  # characters of a stretch that should not come twice
MOST_COPIED_FROM = 2**20  # characters of training text in which copies are looked for
GROUPS = 20  # of texts, each left out once for an interval
UNJUDGED = 6  # characters at a text's beginning, which has no history

_T = TypeVar("_T")


@dataclass(frozen=True)
class Judge:
    """A training text and its n-grams."""

    training: str
    ngrams: NGrams

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the training text."""
        return frozenset(words_of(self.training))

    @cached_property
    def copies(self) -> Memorization:
        """The stretches of the training text, of which every document gives its beginning."""
        documents = self.training.split(END_OF_DOCUMENT.decode())
        return Memorization(reference_text(lambda: documents, MOST_COPIED_FROM))

    def bits(self, text: str) -> float:
        """Return the bits a character of `text`, longer than `UNJUDGED`, after its beginning."""
        return float(self.ngrams.bits(text)[UNJUDGED:].mean())


def statistics(samples: Sequence[Sample], judge: Judge, *, seed: int, ends: bool) -> dict[str, float]:
    """Return the numbers of `samples`, those with a meaning for each sample with their 95 % interval.

    `judge_bits`: bits a character under the judge, the mean over samples. `entropy`: of the distribution of token ids
    within a sample, in nats, the mean over samples. `known_words`: share of words that the training text has.
    `repeated`: share of stretches of 12 characters that stood before, in this sample or another. `distinct`: different
    pairs of words over pairs of words, in all samples (distinct-2, Li et al. 2016). `copied`: characters of the longest
    stretch that stands in the training text word for word, the mean over samples; `most_copied`: the longest of all. `compressed`: size of all samples
    after zlib, over their size before. `characters`: mean length. With `ends`, as only what is read from tokens has them:
    `ended`, the share of samples with an eos, and `invalid`, the share whose bytes are not UTF-8.
    """
    texts = [sample.text for sample in samples]
    entropies = [entropy(sample.ids) for sample in samples if sample.ids]
    judged = [judge.bits(text) for text in texts if len(text) > UNJUDGED]
    copied = [judge.copies.longest(text) for text in texts]
    known = [sum(word in judge.words for word in sample.words) for sample in samples]
    numbers = {
        **mean_with_interval("judge_bits", judged, seed),
        **mean_with_interval("entropy", entropies, seed),
        **ratio_with_interval("known_words", known, [len(sample.words) for sample in samples], seed),
        **_share("repeated", [_stretches(text) for text in texts], distinct=False),
        **_share("distinct", [list(pairwise(sample.words)) for sample in samples], distinct=True),
        **mean_with_interval("copied", copied, seed),
        **({"most_copied": max(copied)} if copied else {}),
        **_compressed(texts),
        **mean_with_interval("characters", [len(text) for text in texts], seed),
    }
    numbers["samples"] = len(samples)
    if ends:
        numbers |= share_with_interval("ended", [sample.ended for sample in samples])
        numbers |= share_with_interval("invalid", [not is_utf8(sample.data) for sample in samples])
    return numbers


def entropy(ids: Sequence[int]) -> float:
    """Return the entropy of the distribution of `ids` within one text (not empty), in nats."""
    return -math.fsum(n / len(ids) * math.log(n / len(ids)) for n in Counter(ids).values())


def _stretches(text: str) -> list[str]:
    return [text[place : place + REPEAT] for place in range(len(text) - REPEAT + 1)]


def _share(name: str, pieces: Sequence[Sequence[Hashable]], *, distinct: bool) -> dict[str, float]:
    """Return the share of all pieces that are the first of their kind, or that are not; nothing where there are none."""
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
    return jackknifed(name, share(len(counts), counts.total()), without)


def _compressed(texts: Sequence[str]) -> dict[str, float]:
    """Return the size of all texts after zlib over their size before; nothing where there is no text."""

    def size(texts: Sequence[str]) -> float:
        data = "\n".join(sorted(texts)).encode()  # sorted, so that their order does not matter
        return len(zlib.compress(data, 9)) / len(data) if data else 0.0

    if not any(texts):
        return {}
    counts = Counter(texts)
    rest = [list((counts - Counter(group)).elements()) for group in _groups(texts)]
    return jackknifed("compressed", size(texts), [size(each) for each in rest if any(each)], most=math.inf)


def _groups(samples: Sequence[_T]) -> list[list[_T]]:
    """Return the samples in `GROUPS` groups of about one size, which do not follow from their order."""
    mixed = sorted(samples, key=lambda sample: hashlib.blake2b(str(sample).encode(errors="surrogatepass")).digest())
    return [group for start in range(GROUPS) if (group := mixed[start::GROUPS])]
