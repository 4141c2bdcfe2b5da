"""The n-gram model's probabilities follow its definition, and its samples follow the probabilities."""

import math
from collections import Counter

import numpy as np
import pytest

from jitkit_plugins.metrics.ngrams import ORDER, NGramModel

TEXT = "it was the best of times, it was the worst of times, 中文也有 — and the king said: so be it. " * 3
CASES = ["the best of kings", "zzzz unseen € characters", "它中文也有", "it was the worst of times, " * 2, "t", ""]


def by_definition(text, history, character, order):
    """Return p(character | history) by the equation in the docstring, counted naively."""
    if order < 0:
        return 1 / (len(set(text)) + 1)
    lower = by_definition(text, history, character, order - 1)
    context = history[len(history) - order :]
    if len(history) < order:
        return lower
    after = Counter(text[i + order] for i in range(len(text) - order) if text[i : i + order] == context)
    return (after[character] + len(after) * lower) / (after.total() + len(after)) if after else lower


@pytest.mark.parametrize("case", CASES)
def test_bits_follow_the_definition(case):
    expected = [-math.log2(by_definition(TEXT, case[:i], c, ORDER - 1)) for i, c in enumerate(case)]
    assert NGramModel(TEXT).bits(case) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("text", [TEXT, "a", "ab"])
def test_probabilities_sum_to_one(text):
    model, history = NGramModel(text), text[:4]
    characters = [*set(text), "\0"]  # plus one for all others
    assert sum(2 ** -model.bits(history + c)[-1] for c in characters) == pytest.approx(1)


def test_samples_follow_the_probabilities():
    text = "abracadabra, abracadabra; arcadia, barbara"
    model, num = NGramModel(text, order=3), 20_000
    uniforms = np.random.default_rng(0).random((num, 3, 4))
    drawn = Counter(sample for sample in model.sample(np.full(num, 3), uniforms))
    for sample, count in drawn.most_common(8):
        expected = 2 ** -model.bits(sample).sum()
        assert count / num == pytest.approx(expected, abs=5 * math.sqrt(expected / num))


def test_a_sample_depends_on_its_own_random_numbers_only():
    model, uniforms = NGramModel(TEXT), np.random.default_rng(0).random((3, 40, ORDER + 1))
    together = model.sample(np.array([40, 0, 12]), uniforms)
    assert [len(text) for text in together] == [40, 0, 12]
    assert model.sample(np.array([40]), uniforms[:1]) == together[:1]
