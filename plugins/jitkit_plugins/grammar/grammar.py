"""A probabilistic grammar: rules, and templates with variables.

A story is what the start rule becomes. A rule becomes one of its alternatives, and the text of an alternative is a
template::

    {rule}              becomes one of the alternatives of a rule
    {variable:rule}     the same, and the variable stands for that alternative in the rest of the story
    {variable}          the text of that alternative again
    {variable.field}    another of its texts, such as a pronoun or an effect; one of them if the field is a list

Variables of the same rule stand for different alternatives. No rule contains itself, so every story is finite.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

TEXT = "text"  # the field that a rule becomes

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Literal:
    """Characters as they are."""

    text: str


@dataclass(frozen=True)
class Expand:
    """`{rule}`."""

    rule: str


@dataclass(frozen=True)
class Draw:
    """`{variable:rule}`, or `{variable:rule.field}`, which writes another field."""

    variable: str
    rule: str
    field: str = TEXT


@dataclass(frozen=True)
class Repeat:
    """`{variable}`, or `{variable.field}`."""

    variable: str
    field: str = TEXT


Part = Literal | Expand | Draw | Repeat
Template = tuple[Part, ...]


@dataclass(frozen=True)
class Alternative:
    """What a rule may become."""

    weight: float  # above 0, relative to the other alternatives
    fields: Mapping[str, tuple[Template, ...]]  # equally likely templates by field

    @property
    def text(self) -> Template:
        """The template of the field `text`, which is a single one."""
        return self.fields[TEXT][0]

    @property
    def name(self) -> str:
        """The literal parts of the text, to name the alternative in results."""
        return "".join(part.text if isinstance(part, Literal) else "_" for part in self.text)


@dataclass(frozen=True)
class Grammar:
    """Rules by name. `variables` holds the rule of each variable; all references are valid (see `read_grammar`)."""

    start: str
    rules: Mapping[str, tuple[Alternative, ...]]
    variables: Mapping[str, str]
    labels: Mapping[str, str] = field(repr=False)  # of violations, by rule or field

    def templates(self) -> Iterator[Template]:
        """Yield every template that a story may contain."""
        seen, waiting = set[tuple[str, str]](), list[Part]([Expand(self.start)])
        while waiting:
            part = waiting.pop()
            if isinstance(part, Literal) or self.becomes(part) in seen:
                continue
            seen.add(self.becomes(part))
            for template in self.templates_of(part):
                yield template
                waiting += template

    def becomes(self, part: Expand | Draw | Repeat) -> tuple[str, str]:
        """Return the rule and the field that `part` becomes a text of."""
        rule = self.variables[part.variable] if isinstance(part, Repeat) else part.rule
        return rule, TEXT if isinstance(part, Expand) else part.field

    def templates_of(self, part: Expand | Draw | Repeat) -> Iterator[Template]:
        """Yield the templates that may take the place of `part`."""
        rule, field = self.becomes(part)
        for alternative in self.rules[rule]:
            yield from alternative.fields[field]

    @cached_property
    def words(self) -> frozenset[str]:
        """All words that stories are made of. A word is never divided between parts of a template."""
        literals = (part.text for template in self.templates() for part in template if isinstance(part, Literal))
        return frozenset(word for text in literals for word in words_of(text))

    @cached_property
    def violation_labels(self) -> tuple[str, ...]:
        """What `label` returns for parts in whose place a story may have another text, sorted."""
        parts = {part for template in self.templates() for part in template}
        drawn = Counter(rule for _, rule in {(part.variable, part.rule) for part in parts if isinstance(part, Draw)})
        wrong = (one for one in parts if isinstance(one, Repeat) or (isinstance(one, Draw) and drawn[one.rule] > 1))
        return tuple(sorted(set(map(self.label, wrong))))

    def label(self, part: Draw | Repeat) -> str:
        """Return what it is called when a story has another text in the place of `part`."""
        key = self.variables[part.variable] if part.field == TEXT else part.field
        return self.labels.get(key, key)


def words_of(text: str) -> list[str]:
    """Return the words of a text: runs of letters."""
    return _WORD.findall(text)
