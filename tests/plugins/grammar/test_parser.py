"""Every story is read back with its probability, and a damaged one has the labels of the rules that it violates."""

import math
from itertools import islice

import pytest

from jitkit.errors import RefusedError
from jitkit_plugins.grammar.entropy import entropy
from jitkit_plugins.grammar.parser import SPELLING, SYNTAX, bits_of, derivations, violated
from jitkit_plugins.grammar.sampling import stories
from tests.plugins.grammar.enumeration import AMBIGUOUS, GRAMMARS, TALES_SHORT, grammar_of, probabilities


@pytest.mark.parametrize("rules", [*GRAMMARS.values(), AMBIGUOUS], ids=[*GRAMMARS, "ambiguous"])
def test_every_story_is_read_back_with_its_probability(rules, tmp_path) -> None:
    grammar = grammar_of(rules, tmp_path)
    expected = probabilities(grammar)
    found = {text: 2 ** -bits_of(derivations(grammar, text)) for text in expected}
    assert found == pytest.approx(expected, rel=1e-9)
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-9)
    assert not any(violated(grammar, text) for text in expected)
    if rules != AMBIGUOUS:
        assert -math.fsum(p * math.log2(p) for p in found.values()) == pytest.approx(entropy(grammar), abs=1e-9)


def test_every_short_tale_is_read_in_exactly_one_way() -> None:
    bits = entropy(TALES_SHORT)
    for text in islice(stories(TALES_SHORT, 3), 100):
        (only,) = derivations(TALES_SHORT, text)
        assert only.bits == pytest.approx(bits)  # all short tales are equally likely
        assert not violated(TALES_SHORT, text)


def test_neither_the_beginning_of_a_story_nor_one_with_more_after_it_is_a_story() -> None:
    for text in islice(stories(TALES_SHORT, 4), 20):
        assert not derivations(TALES_SHORT, text[:-1])
        assert not derivations(TALES_SHORT, f"{text} ")


def test_an_ambiguous_story_has_all_its_derivations(tmp_path) -> None:
    grammar = grammar_of(AMBIGUOUS, tmp_path)
    assert len(derivations(grammar, "red cat")) == 2
    assert bits_of(derivations(grammar, "red cat")) == pytest.approx(-math.log2(1 / 2 + 1 / 8))


STORY = "Ben broke a red flag. He ran away. Paul fixed the flag."


@pytest.mark.parametrize(
    ("found", "instead", "labels"),
    [
        ("", "", set()),
        ("flag", "flap", {SPELLING}),
        ("Ben", "B\ufffdn", {SPELLING}),
        ("broke", "broke broke", {SYNTAX}),
        ("flag.", "flag", {SYNTAX}),
        (" the flag.", "", {SYNTAX}),
        ("flag.", "flag. ", {SYNTAX}),
        (STORY, "", {SYNTAX}),
        ("He ", "She ", {"pronoun"}),
        ("the flag", "the drum", {"object"}),
        ("Paul", "Ben", {"name"}),
        ("ran away", "cried", {"cause"}),
        ("fixed", "found", {"cause"}),
        ("He ran away", "She cried", {"pronoun", "cause"}),
        ("He ran away. Paul fixed the flag", "She ran away. Ben fixed the cup", {"pronoun", "name", "object"}),
        ("Paul fixed the flag", "Paul forgave Sam", {"name"}),
    ],
)
def test_a_damaged_story_violates_the_rules_that_were_broken(found, instead, labels) -> None:
    assert violated(TALES_SHORT, STORY.replace(found, instead) if found else STORY) == labels


def test_every_label_of_the_tales_occurs_above() -> None:
    assert set(TALES_SHORT.violation_labels) == {"pronoun", "object", "name", "cause"}


def test_without_labels_a_violation_is_named_after_its_rule_or_field(tmp_path) -> None:
    grammar = grammar_of(GRAMMARS["fields"], tmp_path)
    assert violated(grammar, "Ann fell. He cried. slept!") == {"she"}
    assert violated(grammar, "Ann ate. She cried. slept!") == {"then"}
    assert grammar.violation_labels == ("she", "then")
    assert grammar_of(GRAMMARS["distinct"], tmp_path).violation_labels == ("name",)
    assert grammar_of(GRAMMARS["fields"], tmp_path, 'she = "pronoun"').violation_labels == ("pronoun", "then")


EASY = """
story = [{ text = "An easy c.", weight = 1e6 }, { text = "%s", weight = 1e-6 }]
part = ["a ", "a a "]
word = [%s]
"""


def test_a_text_that_is_read_in_very_many_ways_does_not_end_the_search_for_violations(tmp_path) -> None:
    """If places can be reached in many ways, each is visited once; if there are too many places, it counts as syntax."""
    grammar = grammar_of(EASY % ("{part}" * 24 + "c.", '"a"'), tmp_path)
    story = "a " * 36 + "c."
    with pytest.raises(RefusedError, match="100,000 readings"):
        derivations(grammar, story)
    assert violated(grammar, story) == set()
    assert violated(grammar, "a " * 60 + "c.") == {SYNTAX}
    drawn = " ".join(f"{{v{number}:word}}" for number in range(4))
    grammar = grammar_of(EASY % (f"{drawn} c.", ", ".join(['"a"'] * 30)), tmp_path)
    assert violated(grammar, "a a a a c. c.") == {SYNTAX}
    assert violated(grammar, "An easy c.") == set()
