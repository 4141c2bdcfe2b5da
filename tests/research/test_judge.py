"""The judge of generated texts."""

from __future__ import annotations

import random

import pytest

from research.judge import WORD, CharacterModel, judged, margin

TRAINING = "the quick brown fox jumps over the lazy dog. " * 40


def test_the_margin_holds_the_mean_of_the_whole_in_nineteen_of_twenty_samples() -> None:
    generator = random.Random(1)
    held = 0
    for _ in range(400):
        sample = [generator.gauss(3, 2) for _ in range(64)]
        held += abs(sum(sample) / 64 - 3) <= margin(sample)
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_nothing_is_known_of_the_spread_of_one_text() -> None:
    assert margin([1.0]) == margin([]) == 0


def test_what_repeats_the_training_text_is_cheap_and_noise_is_dear() -> None:
    model, words = CharacterModel(TRAINING), frozenset(WORD.findall(TRAINING))
    copies = judged(model, words, [TRAINING[start : start + 60] for start in range(20)])
    letters = random.Random(2)
    noise = judged(model, words, ["".join(letters.choices(TRAINING, k=60)) for _ in range(20)])
    assert copies["judge_bits_per_character"] + copies["judge_bits_margin"] < 1
    assert noise["judge_bits_per_character"] - noise["judge_bits_margin"] > 4
    assert copies["words_known"] == 1
    assert copies["repeated_12grams"] > 0.9
    assert noise["repeated_12grams"] == 0
