"""The n-gram score of samples."""

from __future__ import annotations

import random

import pytest

from research.ngram_score import NgramScorer, margin

TRAINING = "the quick brown fox jumps over the lazy dog. " * 40


def test_the_interval_contains_the_true_mean_in_95_percent_of_samples() -> None:
    generator = random.Random(1)
    held = 0
    for _ in range(400):
        sample = [generator.gauss(3, 2) for _ in range(64)]
        held += abs(sum(sample) / 64 - 3) <= margin(sample)
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_fewer_than_two_texts_have_no_interval() -> None:
    assert margin([1.0]) == margin([]) == 0


def test_copies_of_the_training_text_score_low_and_noise_scores_high() -> None:
    scorer = NgramScorer(TRAINING)
    copies = scorer([TRAINING[start : start + 60] for start in range(20)])
    letters = random.Random(2)
    noise = scorer(["".join(letters.choices(TRAINING, k=60)) for _ in range(20)])
    assert copies["ngram_bits_per_character"] + copies["ngram_bits_margin"] < 1
    assert noise["ngram_bits_per_character"] - noise["ngram_bits_margin"] > 4
    assert copies["words_known"] == 1
    assert copies["repeated_12grams"] > 0.9
    assert noise["repeated_12grams"] == 0
