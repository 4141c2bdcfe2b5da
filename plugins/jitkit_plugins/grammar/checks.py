"""The checks that make every story of a grammar finite and not too long, and every reference in it valid."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from jitkit.errors import counted, did_you_mean
from jitkit_plugins.grammar.grammar import TEXT, Draw, Expand, Grammar, Literal, Part, Repeat, Template

Found = tuple[str, str, str, str]
"""A problem: the rule that has it, what was found, what was expected, and a hint."""

Drawn = frozenset[str]  # variables

MAX_NESTED = 50  # rules, each in a text of the one before
MAX_CHARACTERS = 1_000_000  # of a story

LETTER, OTHER, EMPTY = "letter", "other", "empty"  # what a text may begin or end with


def problems_of(grammar: Grammar) -> list[Found]:
    """Return the problems of a grammar, each once."""
    unknown = list(dict.fromkeys(_unknown_names(grammar)))
    if unknown:
        return unknown
    checks = Checks(grammar)
    checks.follow(Expand(grammar.start), grammar.start, frozenset(), frozenset())
    return list(dict.fromkeys(checks.problems or [*_long_stories(grammar), *_divided_words(grammar)]))


def _unknown_names(grammar: Grammar) -> Iterator[Found]:
    """Yield the references to rules, variables and fields that do not exist."""
    for rule, alternatives in grammar.rules.items():
        for part in (part for one in alternatives for some in one.fields.values() for each in some for part in each):
            if isinstance(part, Literal):
                continue
            names = list(grammar.variables if isinstance(part, Repeat) else grammar.rules)
            name = part.variable if isinstance(part, Repeat) else part.rule
            if name not in names:
                kind = "variable" if isinstance(part, Repeat) else "rule"
                names += grammar.variables if isinstance(part, Expand) else ()
                yield rule, f"{kind} {name}", f"one of {', '.join(names)}", did_you_mean(name, names)
            elif not isinstance(part, Expand):
                target = grammar.variables.get(part.variable, "")
                missing = [one.name for one in grammar.rules.get(target, ()) if part.field not in one.fields]
                if missing:
                    expected = f"a field {part.field} in every {target}, also in {missing[0]!r}"
                    yield rule, f"{part.variable}.{part.field}", expected, ""


class Checks:
    """A search through everything that a story may become.

    `certain` are the variables that are drawn before a part in every story that reaches it, `possible` in some story.
    """

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.problems = list[Found]()
        self._seen: dict[tuple[Part, Drawn, Drawn], tuple[Drawn, Drawn]] = {}
        self._open = list[tuple[str, str]]()  # the rules and fields that contain the current part

    def follow(self, part: Part, rule: str, certain: Drawn, possible: Drawn) -> tuple[Drawn, Drawn]:
        """Return the variables that are drawn after a part of `rule`."""
        key = part, certain, possible
        if key not in self._seen:
            self._seen[key] = self._follow(part, rule, certain, possible)
        return self._seen[key]

    def _follow(self, part: Part, rule: str, certain: Drawn, possible: Drawn) -> tuple[Drawn, Drawn]:
        match part:
            case Literal():
                return certain, possible
            case Expand(name):
                return self._any(name, TEXT, rule, certain, possible)
            case Draw(variable, name, field):
                others = {one for one in possible if self.grammar.variables[one] == name}
                if variable in possible:
                    self._add(rule, f"variable {variable}, drawn a second time", "another name")
                elif len(others) >= len(self.grammar.rules[name]):
                    found = f"{counted(len(others) + 1, 'variable')} of {name}"
                    self._add(rule, found, f"at most {len(self.grammar.rules[name])}, as many as it has alternatives")
                return self._any(name, field, rule, certain | {variable}, possible | {variable})
            case Repeat(variable, field):
                if variable not in certain:
                    self._add(rule, f"{variable}, which some story has not drawn", f"{{{variable}:...}} before it")
                return self._any(self.grammar.variables[variable], field, rule, certain, possible)

    def _any(self, name: str, field: str, rule: str, certain: Drawn, possible: Drawn) -> tuple[Drawn, Drawn]:
        """Return what is drawn after any of the texts that a field of rule `name` has."""
        if (name, field) in self._open:
            self._add(rule, f"rule {name}, which contains itself", "rules that end")
            return certain, possible
        if len(self._open) >= MAX_NESTED:
            self._add(rule, f"rules nested more than {MAX_NESTED} deep", "fewer")
            return certain, possible
        self._open.append((name, field))
        ends = [
            self._all(template, name, certain, possible)
            for one in self.grammar.rules[name]
            for template in one.fields[field]
        ]
        self._open.pop()
        return frozenset.intersection(*(one for one, _ in ends)), frozenset.union(*(one for _, one in ends))

    def _all(self, template: Template, rule: str, certain: Drawn, possible: Drawn) -> tuple[Drawn, Drawn]:
        for part in template:
            certain, possible = self.follow(part, rule, certain, possible)
        return certain, possible

    def _add(self, rule: str, found: str, expected: str) -> None:
        self.problems.append((rule, found, expected, ""))


def _long_stories(grammar: Grammar) -> Iterator[Found]:
    """Yield the start rule if a story may be longer than `MAX_CHARACTERS`."""

    @cache
    def longest(part: Part) -> int:
        if isinstance(part, Literal):
            return len(part.text)
        return max(sum(map(longest, template)) for template in grammar.templates_of(part))

    if (length := longest(Expand(grammar.start))) > MAX_CHARACTERS:
        found = f"a story of {length:,} characters" if length < 10**12 else "a story of more than 10^12 characters"
        yield grammar.start, found, f"at most {MAX_CHARACTERS:,}", ""


def _divided_words(grammar: Grammar) -> Iterator[Found]:
    """Yield templates in which two parts may be one word, so that the words of the grammar would not be known."""

    @cache
    def edges(part: Part, end: int) -> frozenset[str]:
        """Return what the texts of `part` may begin (`end` 0) or end (-1) with."""
        if isinstance(part, Literal):
            return frozenset({LETTER if part.text[end].isalpha() else OTHER})
        return frozenset().union(*(edges_of_all(template, end) for template in grammar.templates_of(part)))

    def edges_of_all(template: Template, end: int) -> frozenset[str]:
        found = frozenset({EMPTY})
        for part in template if end == 0 else reversed(template):
            found = (found - {EMPTY}) | edges(part, end)
            if EMPTY not in found:
                break
        return found

    for rule, alternatives in grammar.rules.items():
        for template in (each for one in alternatives for some in one.fields.values() for each in some):
            last = frozenset({EMPTY})
            for part in template:
                first = edges(part, 0)
                if LETTER in last and LETTER in first:
                    hint = "For another form of a word, give it a field: {thing.plural}."
                    yield rule, f"a word that continues at {_written(part)}", "a space or a punctuation mark", hint
                last = (edges(part, -1) - {EMPTY}) | (last if EMPTY in first else frozenset())


def _written(part: Part) -> str:
    match part:
        case Literal(text):
            return repr(text)
        case Expand(rule):
            return f"{{{rule}}}"
        case Draw(variable, rule, _):
            return f"{{{variable}:{rule}}}"
        case Repeat(variable, field):
            return f"{{{variable}.{field}}}"
