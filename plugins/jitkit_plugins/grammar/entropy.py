"""The exact entropy of a grammar.

The entropy of a story's choices is the sum of the entropies of each, weighted by how often it is reached. A choice depends
on what variables stand for, but not on their words: alternatives with the same weight and the same kinds of fields (a
*shape*) are counted together, so that thousands of combinations of names and objects become one state.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from jitkit_plugins.grammar.grammar import TEXT, Alternative, Draw, Expand, Grammar, Literal, Part, Repeat, Template

State = tuple[tuple[str, int], ...]
"""The shape that each variable stands for, sorted by variable."""

Outcome = tuple[float, Mapping[State, float]]
"""The entropy of some choices in bits, and the probabilities of the states after them."""


def entropy(grammar: Grammar) -> float:
    """Return the entropy of the choices of a story, in bits.

    It is the entropy of the stories if different choices always write different stories, see `derivations`.
    """
    return Outcomes(grammar).expand((Expand(grammar.start),), ())[0]


class Outcomes:
    """The outcomes of the parts of a grammar, each computed once."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.seen: dict[tuple[Part, State], Outcome] = {}

    @cached_property
    def shapes(self) -> Mapping[str, list[Alternative]]:
        """One alternative of each shape, by rule. The index of a shape is its place."""
        return {rule: list({shape(one): one for one in group}.values()) for rule, group in self.grammar.rules.items()}

    @cached_property
    def sizes(self) -> Mapping[str, list[int]]:
        """How many alternatives have each shape, by rule."""
        counts = {rule: Counter(map(shape, group)) for rule, group in self.grammar.rules.items()}
        return {rule: [counts[rule][shape(one)] for one in group] for rule, group in self.shapes.items()}

    def expand(self, template: Template, state: State) -> Outcome:
        """Return the outcome of the choices of all parts of `template`, one after another."""
        total = 0.0
        states: Mapping[State, float] = {state: 1.0}
        for part in template:
            if isinstance(part, Literal):
                continue
            after = defaultdict[State, float](float)
            for before, probability in states.items():
                bits, following = self.part(part, before)
                total += probability * bits
                for one, share in following.items():
                    after[one] += probability * share
            states = after
        return total, states

    def part(self, part: Part, state: State) -> Outcome:
        """Return the outcome of a part."""
        key = part, state
        if key not in self.seen:
            self.seen[key] = self._part(part, state)
        return self.seen[key]

    def _part(self, part: Part, state: State) -> Outcome:
        match part:
            case Expand(rule):
                return self._any((1, one.weight, one.text, state) for one in self.grammar.rules[rule])
            case Draw(variable, rule, field):
                taken = [index for name, index in state if self.grammar.variables[name] == rule]
                options = []
                for index, one in enumerate(self.shapes[rule]):
                    free, templates = self.sizes[rule][index] - taken.count(index), one.fields[field]
                    after = tuple(sorted((*state, (variable, index))))
                    options += [(free, one.weight / len(templates), template, after) for template in templates]
                return self._any(options)
            case Repeat(variable, field):
                shape = self.shapes[self.grammar.variables[variable]][dict(state)[variable]]
                return self._any((1, 1.0, template, state) for template in shape.fields[field])
            case Literal():
                return 0.0, {state: 1.0}

    def _any(self, options: Iterable[tuple[int, float, Template, State]]) -> Outcome:
        """Return the outcome of a choice between options: how many there are of each, weight, template, state."""
        every = [option for option in options if option[0]]
        total = sum(num * weight for num, weight, _, _ in every)
        bits, states = 0.0, defaultdict[State, float](float)
        for num, weight, template, state in every:
            probability = num * weight / total
            inside, after = self.expand(template, state)
            bits += probability * (inside - math.log2(weight / total))
            for one, share in after.items():
                states[one] += probability * share
        return bits, states


def shape(alternative: Alternative) -> tuple[object, ...]:
    """Return what the entropy after `alternative` depends on: its weight, and its fields without their literal parts."""
    fields = {
        name: tuple(tuple(part for part in template if not isinstance(part, Literal)) for template in templates)
        for name, templates in alternative.fields.items()
    }
    return alternative.weight, tuple(sorted(fields.items(), key=lambda field: (field[0] != TEXT, field[0])))
