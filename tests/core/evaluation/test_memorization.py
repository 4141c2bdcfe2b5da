"""The longest verbatim copy, against looking for every stretch."""

import random

import pytest

from jitkit.evaluation.memorization import DEPTH, Memorization


@pytest.mark.parametrize("alphabet", ["ab", "abcdefgh", "aé中😀"])
def test_it_is_what_looking_for_every_stretch_finds(alphabet):
    draw = random.Random(0)
    training = "".join(draw.choices(alphabet, k=300))
    copies = Memorization(training)
    for length in (0, 1, 7, 40):
        text = "".join(draw.choices(alphabet + "z", k=length))
        stretches = [text[i:j] for i in range(length) for j in range(i + 1, length + 1)]
        assert copies.longest(text) == max((len(s) for s in stretches if s in training), default=0)


def test_copies_are_found_wherever_they_stand():
    training = "".join(random.Random(1).choices("abcd", k=500))
    copies = Memorization(training)
    for start in (0, 123, 440):
        assert copies.longest(f"xyz{training[start : start + 60]}xyz") == 60
    assert copies.longest(training) == DEPTH
    assert Memorization("").longest("abc") == 0
    assert Memorization("aaaa" * 200).longest("a" * 90) == 90
