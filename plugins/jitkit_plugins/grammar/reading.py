"""Reading a grammar from a TOML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from typing import Literal as Only

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from jitkit.errors import ManifestError, Problem, did_you_mean, shown
from jitkit.kinds import KIND_OF_TABLE
from jitkit.manifest.source import ManifestSource
from jitkit.manifest.validation import validate
from jitkit_plugins.grammar.checks import problems_of
from jitkit_plugins.grammar.grammar import TEXT, Alternative, Draw, Expand, Grammar, Literal, Part, Repeat, Template

TALES = Path(__file__).with_name("tales.toml")

Name = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$", max_length=60)]


def _listed(texts: object) -> object:
    if not isinstance(texts, str | list):
        raise ValueError("a text or an array of texts")
    return [texts] if isinstance(texts, str) else texts


Texts = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]

_PART = re.compile(r"\{(?:(?P<variable>[A-Za-z]\w*):)?(?P<name>[A-Za-z]\w*)(?:\.(?P<field>[A-Za-z]\w*))?\}")


class AlternativeTable(BaseModel):
    """An alternative: a text, or a table with other fields too. A list of texts stands for several alternatives."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    __pydantic_extra__: dict[str, Texts]

    text: Texts
    weight: float = Field(1.0, gt=0, le=1e6)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Read a text as an alternative without other fields."""
        if isinstance(value, str):
            return {TEXT: value}
        if not isinstance(value, dict):
            raise ValueError("a text or a table")
        return value

    def texts(self) -> Iterator[dict[str, list[str]]]:
        """Yield the texts of every field, for each alternative."""
        for text in self.text:
            yield {TEXT: [text], **self.__pydantic_extra__}


Rule = Annotated[list[AlternativeTable], Field(min_length=1)]


class GrammarFile(BaseModel):
    """The content of a grammar file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Only[1]
    rules: Annotated[dict[Name, Rule], Field(min_length=1)]
    violations: dict[str, Name] = {}

    def texts(self) -> Iterator[tuple[str, float, dict[str, list[str]]]]:
        """Yield the rule, the weight and the texts of every alternative."""
        for rule, alternatives in self.rules.items():
            for one in alternatives:
                yield from ((rule, one.weight, texts) for texts in one.texts())


def read_grammar(path: Path, start: str = "") -> Grammar:
    """Return the grammar in a file, whose stories begin with the rule `start` (default: the first rule).

    Raises ManifestError with every problem, RefusedError for a file of more than 1 MiB.
    """
    source = ManifestSource.read(path, kind="grammar")
    document = source.parse()
    if "rules" not in document and not KIND_OF_TABLE.keys().isdisjoint(document):
        hint = "A manifest is the first argument: jitkit train MANIFEST --data TEXT"
        raise ManifestError("a manifest", "a grammar, with the table [rules]", file=path, field="data.path", hint=hint)
    file = validate(GrammarFile, document, source)
    if start and start not in file.rules:
        found, expected = f"rule {shown(start)}", f"one of {', '.join(file.rules)}"
        raise ManifestError(found, expected, file=path, field="data.start", hint=did_you_mean(start, file.rules))
    variables, problems = _variables(file, source)
    problems += _unknown_violations(file, source)
    rules: dict[str, list[Alternative]] = {rule: [] for rule in file.rules}
    for rule, weight, texts in file.texts():
        fields = {
            field: tuple(_template(text, variables, rule, source, problems) for text in some)
            for field, some in texts.items()
        }
        rules[rule].append(Alternative(weight, fields))
    grammar = Grammar(
        start or next(iter(rules)), {rule: tuple(some) for rule, some in rules.items()}, variables, file.violations
    )
    problems += [source.problem(("rules", rule), *what) for rule, *what in ([] if problems else problems_of(grammar))]
    if problems:
        raise ManifestError(problems=list(dict.fromkeys(problems)))
    return grammar


def _unknown_violations(file: GrammarFile, source: ManifestSource) -> list[Problem]:
    """Return the problems with labels of what is neither a rule nor a field."""
    known = list(
        dict.fromkeys([*file.rules, *(field for _, _, texts in file.texts() for field in texts if field != TEXT)])
    )
    return [
        source.problem(("violations", key), f"a label of {shown(key)}", "a rule or field", did_you_mean(key, known))
        for key in file.violations
        if key not in known
    ]


def _variables(file: GrammarFile, source: ManifestSource) -> tuple[dict[str, str], list[Problem]]:
    """Return the rule of each variable, and the problems with their names."""
    variables, problems = dict[str, str](), list[Problem]()
    for rule, _, texts in file.texts():
        for found in (found for some in texts.values() for text in some for found in _PART.finditer(text)):
            name, drawn = found["variable"], found["name"]
            if not name:
                continue
            if name in file.rules:
                problems.append(source.problem(("rules", rule), f"variable {name}", "a name that no rule has"))
            if drawn in file.rules and variables.setdefault(name, drawn) != drawn:
                expected = f"{name}:{variables[name]}, as elsewhere"
                problems.append(source.problem(("rules", rule), found[0], expected, "Give it another name."))
    return variables, problems


def _template(
    text: str, variables: Mapping[str, str], rule: str, source: ManifestSource, problems: list[Problem]
) -> Template:
    """Return the parts of a text; a problem with a brace is added to `problems`."""
    parts, end = list[Part](), 0
    for found in _PART.finditer(text):
        parts += [Literal(text[end : found.start()]), _part(found, variables)]
        end = found.end()
    parts.append(Literal(text[end:]))
    literals = [part.text for part in parts if isinstance(part, Literal)]
    if any(brace in literal for literal in literals for brace in "{}"):
        expected = "{rule}, {variable:rule}, {variable} or {variable.field} in braces"
        problems.append(source.problem(("rules", rule), shown(text), expected))
    return tuple(part for part in parts if part != Literal(""))


def _part(found: re.Match[str], variables: Mapping[str, str]) -> Part:
    name, field = found["name"], found["field"] or TEXT
    if found["variable"]:
        return Draw(found["variable"], name, field)
    return Repeat(name, field) if name in variables or found["field"] else Expand(name)
