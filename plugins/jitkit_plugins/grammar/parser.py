"""Reading a story back: the choices that wrote it, its exact probability, or the rules that it violates.

Both searches go through the story from left to right. A place in them is the position in the text, the parts of templates
that are still to come, and what variables stand for.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from jitkit.errors import RefusedError, counted
from jitkit_plugins.grammar.choices import Bindings, Choice, choice, violations
from jitkit_plugins.grammar.grammar import Draw, Expand, Grammar, Literal, Part, Repeat, Template, words_of

SPELLING, SYNTAX = "spelling", "syntax"
MAX_PLACES = 100_000  # that a search may visit


class Waiting(NamedTuple):
    """The parts still to come: the next one, and those after it."""

    part: Part
    rest: Waiting | None


class Chosen(NamedTuple):
    """The choices so far: the last one, the option that was taken, and the choices before."""

    choice: Choice
    option: int  # its place among the options of the choice
    before: Chosen | None


@dataclass(frozen=True)
class Derivation:
    """The choices that write a story."""

    chosen: Chosen | None

    def __iter__(self) -> Iterator[tuple[Choice, int]]:
        """Yield each choice and the place of the option that was taken, last choice first."""
        link = self.chosen
        while link is not None:
            yield link.choice, link.option
            link = link.before

    @property
    def bits(self) -> float:
        """-log2 of the probability of these choices."""
        return -math.fsum(math.log2(one.options[taken].probability) for one, taken in self)


class Place(NamedTuple):
    """A place in a search."""

    position: int
    waiting: Waiting | None
    bindings: Bindings


def derivations(grammar: Grammar, text: str) -> list[Derivation]:
    """Return every sequence of choices that writes `text`: none if it is not a story, several if it is ambiguous.

    Raises RefusedError for a text that can be read in so many ways that the search visits more than `MAX_PLACES` places.
    """
    found, visited = [], 0
    places: list[tuple[Place, Chosen | None]] = [(_start(grammar), None)]
    while places:
        place, chosen = places.pop()
        visited = _counted(visited)
        if place.waiting is None:
            found += [Derivation(chosen)] if place.position == len(text) else []
        elif isinstance(place.waiting.part, Literal):
            places += [(after, chosen) for after in _literal(place, text)]
        else:
            one = choice(grammar, place.waiting.part, place.bindings)
            for taken, option in enumerate(one.options):
                if _begins(option.template, text, place.position):
                    places.append((_next(place, option.template, option.bindings), Chosen(one, taken, chosen)))
    return found


def bits_of(derivations: Sequence[Derivation]) -> float:
    """Return -log2 of the probability of a story that has these `derivations`, at least one."""
    least = min(one.bits for one in derivations)
    return least - math.log2(math.fsum(2 ** (least - one.bits) for one in derivations))


def violated(grammar: Grammar, text: str) -> frozenset[str]:
    """Return the labels of the rules that `text` violates, as few as possible; empty for a story.

    `SPELLING` if it has a word that no story has. Otherwise a repeated word or a drawn one may differ from what it should
    be, at the cost of a violation with the label of the grammar (best first, so the reading with the fewest violations is
    found). `SYNTAX` if the text cannot be read in this way either, or the search visits more than `MAX_PLACES` places.
    """
    if not grammar.words.issuperset(words_of(text)):
        return frozenset({SPELLING})
    order, seen = count(), set[tuple[object, ...]]()
    queue: list[tuple[int, int, int, Place, tuple[str, ...]]] = [(0, 0, next(order), _start(grammar), ())]
    while queue and len(seen) < MAX_PLACES:
        num, _, _, place, labels = heapq.heappop(queue)
        if place.waiting is None and place.position == len(text):
            return frozenset(labels)
        key = place.position, place.waiting, tuple(sorted(place.bindings.items()))
        if place.waiting is None or key in seen:
            continue
        seen.add(key)
        for after, label in _readings(grammar, place, text):
            more = (*labels, label) if label else labels
            heapq.heappush(queue, (num + bool(label), -after.position, next(order), after, more))
    return frozenset({SYNTAX})


def _readings(grammar: Grammar, place: Place, text: str) -> Iterator[tuple[Place, str]]:
    """Yield the places after the next part, each with the label of a violation or ""."""
    assert place.waiting is not None
    part = place.waiting.part
    if isinstance(part, Literal):
        yield from ((after, "") for after in _literal(place, text))
        return
    for option in choice(grammar, part, place.bindings).options:
        if _begins(option.template, text, place.position):
            yield _next(place, option.template, option.bindings), ""
    if isinstance(part, Draw | Repeat):
        for template, bindings in violations(grammar, part, place.bindings):
            if _begins(template, text, place.position):
                yield _next(place, template, bindings), grammar.label(part)


def _start(grammar: Grammar) -> Place:
    return Place(0, Waiting(Expand(grammar.start), None), {})


def _literal(place: Place, text: str) -> list[Place]:
    """Return the place after the literal that comes next, if the text has it."""
    assert place.waiting is not None
    assert isinstance(place.waiting.part, Literal)
    literal = place.waiting.part.text
    if not text.startswith(literal, place.position):
        return []
    return [Place(place.position + len(literal), place.waiting.rest, place.bindings)]


def _begins(template: Template, text: str, position: int) -> bool:
    """Return whether the text may go on with `template`, as far as its first part shows."""
    first = template[0] if template else None
    return not isinstance(first, Literal) or text.startswith(first.text, position)


def _next(place: Place, template: Template, bindings: Bindings) -> Place:
    """Return the place where `template` has taken the place of the next part."""
    assert place.waiting is not None
    waiting = place.waiting.rest
    for part in reversed(template):
        waiting = Waiting(part, waiting)
    return Place(place.position, waiting, bindings)


def _counted(visited: int) -> int:
    """Return how many places were visited, one more. Raises RefusedError if they are too many."""
    if visited >= MAX_PLACES:
        found = f"a story with more than {counted(MAX_PLACES, 'reading')}"
        raise RefusedError(found, "a grammar whose stories can be read in few ways", field="data.path")
    return visited + 1
