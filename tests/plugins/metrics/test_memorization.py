"""The longest match equals that of a brute-force search."""

import random

import pytest

from jitkit_plugins.metrics.memorization import DEPTH, SuffixArray


@pytest.mark.parametrize("alphabet", ["ab", "abcdefgh", "aé中😀"])
def test_the_longest_match_is_that_of_a_brute_force_search(alphabet):
    draw = random.Random(0)
    training = "".join(draw.choices(alphabet, k=300))
    suffixes = SuffixArray(training)
    for length in (0, 1, 7, 40):
        text = "".join(draw.choices(alphabet + "z", k=length))
        substrings = [text[i:j] for i in range(length) for j in range(i + 1, length + 1)]
        assert suffixes.longest_match(text) == max((len(s) for s in substrings if s in training), default=0)


def test_matches_are_found_at_any_position():
    training = "".join(random.Random(1).choices("abcd", k=500))
    suffixes = SuffixArray(training)
    for start in (0, 123, 440):
        assert suffixes.longest_match(f"xyz{training[start : start + 60]}xyz") == 60
    assert suffixes.longest_match(training) == DEPTH
    assert SuffixArray("").longest_match("abc") == 0
    assert SuffixArray("aaaa" * 200).longest_match("a" * 90) == 90
