"""The tales that come with jitkit: their length, their readings, and the labels of damaged ones."""

from __future__ import annotations

import re
from itertools import islice
from statistics import mean, stdev
from typing import NamedTuple

import pytest

from jitkit_plugins.grammar.entropy import entropy
from jitkit_plugins.grammar.grammar import Grammar, Literal
from jitkit_plugins.grammar.parser import Derivation, derivations, violated
from jitkit_plugins.grammar.reading import TALES, read_grammar
from jitkit_plugins.grammar.sampling import stories

LIMITS = {"short": 63, "medium": 255, "long": 1023}  # a story and its end fit an image of 64, 256 or 1,024 bytes


class Level(NamedTuple):
    """Tales of one length, and how each is read."""

    grammar: Grammar
    readings: dict[str, list[Derivation]]


@pytest.fixture(scope="module", params=LIMITS)
def level(request: pytest.FixtureRequest) -> Level:
    grammar = read_grammar(TALES, request.param)
    return Level(grammar, {text: derivations(grammar, text) for text in islice(stories(grammar, 1), 200)})


def test_every_tale_fits_its_image_and_has_one_reading(level: Level) -> None:
    for text, readings in level.readings.items():
        assert len(text) <= LIMITS[level.grammar.start]
        assert len(readings) == 1
    for text in islice(level.readings, 50):
        assert not violated(level.grammar, text)


def test_no_tale_has_a_doubled_space_or_a_wrong_article(level: Level) -> None:
    for text in level.readings:
        assert not re.search(r"  |\b[Aa] [aeiou]", text), text


def test_the_entropy_is_the_mean_of_the_bits(level: Level) -> None:
    bits = [reading.bits for (reading,) in level.readings.values()]
    assert abs(mean(bits) - entropy(level.grammar)) <= 4 * stdev(bits) / len(bits) ** 0.5 + 1e-9


@pytest.mark.parametrize(
    ("start", "label", "rule", "field", "before"),
    [
        ("medium", "name", "name", "text", ""),
        ("medium", "object", "object", "text", "the [a-z]+ "),
        ("medium", "object", "color", "text", "the "),
        ("medium", "place", "place", "at", ""),
        ("long", "name", "name", "text", ""),
        ("long", "object", "object", "text", "the [a-z]+ "),
        ("long", "object", "color", "text", "the "),
        ("long", "place", "place", "at", ""),
        ("long", "cause", "weather", "again", ""),
    ],
)
def test_another_text_in_the_place_of_a_bound_one_is_a_violation(
    start: str, label: str, rule: str, field: str, before: str
) -> None:
    grammar = read_grammar(TALES, start)
    texts = [
        "".join(part.text for part in one.fields[field][0] if isinstance(part, Literal)) for one in grammar.rules[rule]
    ]
    damaged = [_damaged(text, texts, before, drawn=rule != "weather") for text in islice(stories(grammar, 4), 60)]
    assert sum(map(bool, damaged)) > 10
    for text in filter(None, damaged):
        assert label in violated(grammar, text), text


def _damaged(story: str, texts: list[str], before: str, *, drawn: bool) -> str:
    """Return `story` with another text in the last place of one; empty if it has none, or is `drawn` there."""
    places = list(re.finditer(rf"\b(?:{before})({'|'.join(texts)})\b", story))
    if not places or (drawn and not re.search(rf"\b{places[-1][1].split()[-1]}\b", story[: places[-1].start(1)])):
        return ""
    last = places[-1]
    other = next(text for text in texts if text.split()[-1] not in story)
    return story[: last.start(1)] + other + story[last.end(1) :]
