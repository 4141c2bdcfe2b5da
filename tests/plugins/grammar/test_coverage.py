"""The distance of choices vanishes for many true stories, and has its known value for a collapsed sampler."""

from itertools import islice

import pytest

from jitkit_plugins.grammar.coverage import coverage
from jitkit_plugins.grammar.parser import derivations
from jitkit_plugins.grammar.sampling import stories
from tests.plugins.grammar.enumeration import DISTINCT, WEIGHTS, grammar_of, probabilities


def coverage_of(grammar, texts):
    return coverage(derivations(grammar, text)[0] for text in texts)


def test_stories_in_their_true_proportions_have_no_distance(tmp_path) -> None:
    grammar = grammar_of(WEIGHTS, tmp_path)
    texts = [text for text, probability in probabilities(grammar).items() for _ in range(round(probability * 30))]
    assert len(texts) == 30
    assert coverage_of(grammar, texts)[:2] == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("rules", [WEIGHTS, DISTINCT], ids=["weights", "distinct"])
def test_the_distance_of_drawn_stories_falls_with_their_number(rules, tmp_path) -> None:
    grammar = grammar_of(rules, tmp_path)
    few, many = (coverage_of(grammar, islice(stories(grammar, 5), num)) for num in (30, 3000))
    assert many.worst < 0.04
    assert many.mean < few.mean / 3


def test_a_sampler_that_repeats_one_story_misses_all_other_options(tmp_path) -> None:
    """The distance is 1 - p of the option that is always taken; sizes are "big" with p = 1/5, things with p = 1/3."""
    grammar = grammar_of(WEIGHTS, tmp_path)
    found = coverage_of(grammar, ["big cat."] * 10)
    assert found.mean == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert (found.worst, found.worst_place) == (pytest.approx(4 / 5), "size")


def test_a_choice_is_compared_with_what_was_still_free(tmp_path) -> None:
    """Dan is unlikely, but certain to be missing where he was drawn before."""
    grammar = grammar_of('\nstory = ["{a:name}, {b:name}."]\nname = ["Ann", "Ben"]\n', tmp_path)
    assert coverage_of(grammar, ["Ann, Ben.", "Ben, Ann."]).mean == 0
    collapsed = coverage_of(grammar, ["Ann, Ben."])
    assert (collapsed.mean, collapsed.worst_place) == (0.5, "a:name")  # the second name is no choice


def test_without_a_choice_there_is_no_distance(tmp_path) -> None:
    assert coverage_of(grammar_of(WEIGHTS, tmp_path), []) is None
    assert coverage_of(grammar_of('\nstory = ["the end"]\n', tmp_path), ["the end"]) is None
