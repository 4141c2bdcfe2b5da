"""The entropy equals that of all stories, listed one by one."""

import math

import pytest

from jitkit_plugins.grammar.entropy import entropy
from jitkit_plugins.grammar.grammar import Expand
from jitkit_plugins.grammar.reading import read_grammar
from tests.plugins.grammar.enumeration import AMBIGUOUS, GRAMMARS, TALES_SHORT, derived, grammar_of, probabilities


def bits(probabilities):
    return -math.fsum(one * math.log2(one) for one in probabilities)


@pytest.mark.parametrize("rules", GRAMMARS.values(), ids=GRAMMARS)
def test_it_is_the_entropy_of_all_stories(rules, tmp_path) -> None:
    grammar = grammar_of(rules, tmp_path)
    stories = probabilities(grammar)
    assert math.fsum(stories.values()) == pytest.approx(1, abs=1e-12)
    assert entropy(grammar) == pytest.approx(bits(stories.values()), abs=1e-9)


def test_of_an_ambiguous_grammar_it_is_that_of_the_choices(tmp_path) -> None:
    grammar = grammar_of(AMBIGUOUS, tmp_path)
    assert entropy(grammar) == pytest.approx(bits([probability for _, probability in derived(grammar)]), abs=1e-9)
    assert entropy(grammar) > bits(probabilities(grammar).values()) + 0.1


def test_equal_alternatives_are_counted_and_not_listed(tmp_path) -> None:
    """With 16 names for 8 variables there are half a billion combinations."""
    names = ", ".join(f'"N{number}x"' for number in range(16))
    story = " ".join(f"{{v{number}:name}}" for number in range(8))
    grammar = grammar_of(f'\nstory = ["{story}."]\nname = [{names}]\n', tmp_path)
    assert entropy(grammar) == pytest.approx(math.log2(math.perm(16, 8)), abs=1e-9)


def test_the_first_rule_is_the_start_unless_another_is_named(tmp_path) -> None:
    grammar_of(GRAMMARS["weights"], tmp_path)
    assert read_grammar(tmp_path / "grammar.toml").start == "story"
    assert entropy(read_grammar(tmp_path / "grammar.toml", "thing")) == pytest.approx(math.log2(3))


def test_short_tales_have_the_entropy_of_their_choices() -> None:
    """All choices of a short tale have equal options: 16 names, 6 events, 8 colors, 16 objects, and so on."""
    assert Expand("short") == Expand(TALES_SHORT.start)
    choices = (16, 6, 8, 16, 2, 2, 15)
    assert entropy(TALES_SHORT) == pytest.approx(sum(map(math.log2, choices)), abs=1e-9)
