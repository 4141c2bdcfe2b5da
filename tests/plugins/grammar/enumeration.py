"""Small grammars, and all their stories with probabilities, found without the code under test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from jitkit_plugins.grammar.grammar import TEXT, Draw, Expand, Grammar, Literal, Part, Repeat, Template
from jitkit_plugins.grammar.reading import TALES, read_grammar

TALES_SHORT = read_grammar(TALES, "short")

WEIGHTS = """
story = ["{size} {thing}."]
size = ["big", { text = "small", weight = 3 }, { text = ["tiny", "wee"], weight = 0.5 }]
thing = ["cat", "dog", "cow"]
"""
DISTINCT = """
story = ["{a:name}, {b:name} and {c:name}: {a} won."]
name = [{ text = "Ann", weight = 5 }, "Ben", "Cem", { text = "Dan", weight = 0.2 }]
"""
FIELDS = """
story = ["{who:name} {did:event}. {who.she} {did.then}. {did.then}!"]
name = [{ text = ["Ann", "Eva"], she = "She" }, { text = "Ben", she = ["He", "He, too,"] }]
event = [{ text = "fell", then = ["cried", "got up", "slept"] }, { text = "ate", then = "slept", weight = 2 }]
"""
NESTED = """
story = ["{start} {middle} {end}", "{end}"]
start = ["Once", "Today {part}"]
middle = ["{part} and {part}", "{part}", { text = "{start}", weight = 2 }]
part = ["x", { text = "y", weight = 2 }]
end = ["end.", "{part}."]
"""
OPTIONAL = """
story = ["A {adjective}{thing}{more}."]
adjective = ["", "red ", { text = "very red ", weight = 0.5 }]
thing = ["cat", "cow"]
more = [{ text = "", weight = 4 }, " and {other}"]
other = ["a {adjective}dog", "more"]
"""
INSIDE = """
story = ["{who:name} {did:event}. {did.end}", "{did:event.end}"]
name = [{ text = ["Ann", "Eva", "Ida"] }, { text = "Ben", weight = 2 }]
event = [
  { text = "fell", end = ["{friend:name} helped.", "{friend:name} and {other:name} ran."] },
  { text = "ate", end = "Nobody came." },
]
"""
AMBIGUOUS = """
story = ["{a} {b}", "red cat"]
a = ["red", "big"]
b = ["cat", "dog"]
"""
GRAMMARS = {
    "weights": WEIGHTS,
    "distinct": DISTINCT,
    "fields": FIELDS,
    "nested": NESTED,
    "optional": OPTIONAL,
    "inside": INSIDE,
}


def grammar_of(rules: str, folder: Path, labels: str = "") -> Grammar:
    """Return the grammar with these rules."""
    path = folder / "grammar.toml"
    path.write_text(f"schema_version = 1\n[violations]\n{labels}\n[rules]{rules}")
    return read_grammar(path)


def probabilities(grammar: Grammar) -> Mapping[str, float]:
    """Return the probability of every story."""
    found = defaultdict[str, float](float)
    for text, probability in derived(grammar):
        found[text] += probability
    return found


def derived(grammar: Grammar) -> Iterator[tuple[str, float]]:
    """Yield the story and the probability of every sequence of choices."""
    yield from _written(grammar, (Expand(grammar.start),), {})


def _written(grammar: Grammar, parts: Template, bound: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    if not parts:
        yield "", 1.0
        return
    part, *rest = parts
    if isinstance(part, Literal):
        yield from ((part.text + text, probability) for text, probability in _written(grammar, tuple(rest), bound))
        return
    for probability, template, after in _ways(grammar, part, bound):
        for text, later in _written(grammar, (*template, *rest), after):
            yield text, probability * later


def _ways(
    grammar: Grammar, part: Part, bound: Mapping[str, int]
) -> Iterator[tuple[float, Template, Mapping[str, int]]]:
    if isinstance(part, Repeat):
        alternative = grammar.rules[grammar.variables[part.variable]][bound[part.variable]]
        templates = alternative.fields[part.field]
        yield from ((1 / len(templates), template, bound) for template in templates)
        return
    taken = {bound[name] for name in bound if grammar.variables[name] == part.rule} if isinstance(part, Draw) else ()
    free = {index: one for index, one in enumerate(grammar.rules[part.rule]) if index not in taken}
    for index, one in free.items():
        templates = one.fields[part.field if isinstance(part, Draw) else TEXT]
        probability = one.weight / sum(each.weight for each in free.values()) / len(templates)
        after = {**bound, part.variable: index} if isinstance(part, Draw) else bound
        yield from ((probability, template, after) for template in templates)
