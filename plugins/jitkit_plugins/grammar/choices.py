"""The choices of a story: what a part of a template may become, with the probability of each option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jitkit_plugins.grammar.grammar import Draw, Expand, Grammar, Repeat, Template

Bindings = Mapping[str, int]
"""The alternative that each variable stands for, as an index into the alternatives of its rule."""


class Option(NamedTuple):
    """One way to go on."""

    probability: float
    template: Template  # takes the place of the part
    bindings: Bindings  # afterward
    number: int  # among the options of its place, also those that are impossible here


@dataclass(frozen=True)
class Choice:
    """The options of a part at a place of the grammar. Their probabilities add up to 1."""

    place: str  # such as "color", "hero:name", or "event.effect of lost"
    options: tuple[Option, ...]


def choice(grammar: Grammar, part: Expand | Draw | Repeat, bindings: Bindings) -> Choice:
    """Return what `part` may become in a story with these `bindings`."""
    match part:
        case Expand(rule):
            alternatives = grammar.rules[rule]
            total = sum(one.weight for one in alternatives)
            options = [Option(one.weight / total, one.text, bindings, i) for i, one in enumerate(alternatives)]
            return Choice(rule, tuple(options))
        case Draw(variable, rule):
            return Choice(f"{variable}:{rule}", tuple(_draws(grammar, part, bindings)))
        case Repeat(variable, field):
            alternative = grammar.rules[grammar.variables[variable]][bindings[variable]]
            templates = alternative.fields[field]
            options = [Option(1 / len(templates), one, bindings, i) for i, one in enumerate(templates)]
            return Choice(f"{variable}.{field} of {alternative.name}", tuple(options))


def _draws(grammar: Grammar, part: Draw, bindings: Bindings) -> Iterator[Option]:
    """Yield an option for each alternative that no variable of the same rule stands for."""
    taken = {index for name, index in bindings.items() if grammar.variables[name] == part.rule}
    free = [(i, one) for i, one in enumerate(grammar.rules[part.rule]) if i not in taken]
    total = sum(one.weight for _, one in free)
    for index, one in free:
        templates = one.fields[part.field]
        for number, template in enumerate(templates):
            probability = one.weight / total / len(templates)
            yield Option(probability, template, {**bindings, part.variable: index}, index * len(templates) + number)


def violations(grammar: Grammar, part: Draw | Repeat, bindings: Bindings) -> Iterator[tuple[Template, Bindings]]:
    """Yield what `part` may not become, but what a part with other bindings may: a taken word, or another word's text."""
    if isinstance(part, Draw):
        for name, index in bindings.items():
            if grammar.variables[name] == part.rule:
                for template in grammar.rules[part.rule][index].fields[part.field]:
                    yield template, {**bindings, part.variable: index}
        return
    for index, alternative in enumerate(grammar.rules[grammar.variables[part.variable]]):
        if index != bindings[part.variable]:
            for template in alternative.fields[part.field]:
                yield template, bindings
