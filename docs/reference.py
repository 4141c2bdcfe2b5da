"""Generate the reference sections of the docs from the code: python docs/reference.py

The text between ``<!-- reference: SUBJECT -->`` and ``<!-- end -->`` is replaced. Subjects are ``commands``, ``manifest``,
the tables of a manifest (``train``, ``eval``, ``codec``, ...), ``grid``, and ``measured``. A test checks that
the pages are up to date. It also writes the index of the built-in components, `components.json`.
"""

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer
from pydantic import BaseModel

from jitkit.ablation.grid import EvalTable, Grid
from jitkit.assembly import TABLES
from jitkit.cli import build_app
from jitkit.cli.help import Row, parameter_row, usage
from jitkit.component import Component
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.discovery.descriptions import FILE, index_of
from jitkit.documents.document import Provenance
from jitkit.documents.plan import TrainingPlan
from jitkit.documents.schemas import Comparison, Evaluation, Frontier, Gallery
from jitkit.kinds import KIND_OF_TABLE
from jitkit.manifest.schema import Eval, Guidance, Manifest, Parallel, Teacher, Train, Weights

DOCS = Path(__file__).parent
PLUGINS = DOCS.parent / "plugins" / "jitkit_plugins"
PAGES = ("ablations.md", "commands.md", "json.md", "manifests.md")
DOCUMENTS = {
    "eval": Evaluation,
    "frontier": Frontier,
    "compare": Comparison,
    "gallery": Gallery,
    "plan": TrainingPlan,
    "provenance": Provenance,
}
FIXED = {
    "manifest": Manifest,
    "guidance": Guidance,
    "train": Train,
    "parallel": Parallel,
    "teacher": Teacher,
    "eval": Eval,
    "weights": Weights,
}
Key = tuple[str, str]  # of a manifest, with its values, and its meaning
LARGE = 1000  # a bound that no sensible value comes near; the error message has it
GRID = {"grid": Grid, "measured": EvalTable}  # of `jitkit ablate`


def written(page: str) -> str:
    """Return the text of a page with its reference sections up to date."""

    def section(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n{SUBJECTS[match[2]]().strip()}\n\n<!-- end -->"

    return re.sub(r"(<!-- reference: ([\w-]+) -->).*?<!-- end -->", section, page, flags=re.DOTALL)


# ---------------------------------------------------------------------------------------------- manifests


def fixed_table(name: str) -> str:
    """Return the keys of a table that has the same keys in every manifest."""
    return items(keys(FIXED[name]))


def open_table(name: str) -> str:
    """Return the keys of each built-in component for a table. Those that several components share come first."""
    catalog = Registry(create_plugin_manager()).catalog(name)
    found = {use: catalog.find(use) for use in catalog.names() if catalog.plugin_of(use).startswith("jitkit ")}
    components = {use: component for use, component in sorted(found.items()) if component is not None}
    counts = Counter(key for component in components.values() for key in keys(component))
    shared = [key for key, count in counts.items() if count > 1]
    sections = [f"Shared keys:\n\n{items(shared)}"] if shared else []
    for use, component in components.items():
        sections.append(f"### {name} `{use}`\n\n{component.summary()}\n\n{own_keys(component, shared)}")
    return "\n".join(sections)


def own_keys(component: type[Component], shared: Collection[Key]) -> str:
    """Return a list of a component's keys. Those in `shared` appear by name only."""
    names = ", ".join(key.partition(" ")[0] for key, meaning in keys(component) if (key, meaning) in shared)
    own = [row for row in keys(component) if row not in shared]
    return items([*([(names, "as above")] if names else []), *own]) or "No keys except `use`.\n"


def document(name: str) -> str:
    """Return the keys of a JSON document."""
    fields = DOCUMENTS[name].model_json_schema()["properties"]
    return items((f"`{key}`", field.get("description", "")) for key, field in fields.items())


def keys(model: type[BaseModel], elsewhere: Collection[str] = (*TABLES, *FIXED)) -> list[Key]:
    """Return a model's keys, except for those in `elsewhere`: each with its values, and its meaning."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return [
        (f"`{name}` ({kind(field, schema)}{default(field, name in required)})", field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
        if name not in elsewhere
    ]


def kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Describe the values that a JSON Schema allows."""
    if "$ref" in field:
        return kind(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if options := field.get("anyOf", field.get("oneOf")):
        return " or ".join(kind(option, schema) for option in options if option.get("type") != "null")
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}: {kind(field['prefixItems'][0], schema)}"
    if field.get("type") == "array":
        return f"list of: {kind(field['items'], schema)}"
    if field.get("type") == "object":
        return "table"
    bounds = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {field[bound]:g}" for bound, sign in bounds if abs(field.get(bound, LARGE)) < LARGE]
    return " ".join([field["type"], ", ".join(limits)]).strip()


def default(field: dict[str, Any], required: bool) -> str:
    """Format a default value as TOML, after a semicolon."""
    if required:
        return "; required"
    value = field.get("default")
    return "" if value is None else f"; default `{json.dumps(value)}`"


# ----------------------------------------------------------------------------------------------- commands


COMMON = 4  # commands that share an argument or option, so that its meaning is written only once


class Section(NamedTuple):
    """What the reference shows of a command."""

    title: str
    text: str  # usage and description
    rows: list[Row]  # its arguments and options


def commands() -> str:
    """Return the common arguments and options, and all commands with usage, help, and those of their own."""
    sections = list(command("jitkit", typer.main.get_command(build_app(create_plugin_manager(autoload=False)))))
    uses = Counter(row for section in sections for row in section.rows)
    common = sorted((row for row in uses if uses[row] >= COMMON), key=lambda row: row.name.startswith("-"))
    texts = [f"## {section.title}\n\n{section.text}\n\n{options(section.rows, common)}" for section in sections]
    return "\n\n".join(text.strip() for text in [f"## Common options\n\n{options(common, ())}", *texts])


def command(path: str, member: Any) -> Iterator[Section]:
    """Yield the sections of a command and its subcommands."""
    context = typer.Context(member, info_name=path)
    text = re.sub(r"^Example: (.*)$", r"```text\n\1\n```", inspect.cleandoc(member.help or ""), flags=re.MULTILINE)
    rows = [parameter_row(parameter) for parameter in member.params if not parameter.hidden]
    yield Section(path, f"`{usage(member, context)}`\n\n{text}", rows)
    for name in member.list_commands(context) if hasattr(member, "list_commands") else ():
        yield from command(f"{path} {name}", member.get_command(context, name))


def options(rows: Iterable[Row], common: Collection[Row]) -> str:
    """Return a list of arguments and options, with the names of the common ones at its end."""
    own = items((f"`{row.name}`", row.meaning.replace("<", "&lt;")) for row in rows if row not in common)
    names = ", ".join(f"`{row.name}`" for row in rows if row in common)
    return own + (f"- [Common](commands.md#common-options): {names}\n" if names else "")


def items(rows: Iterable[tuple[str, str]]) -> str:
    """Return a Markdown list of names and their meanings, if there are any."""
    return "".join(f"- {name}: {meaning}\n" if meaning else f"- {name}\n" for name, meaning in rows)


SUBJECTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    **{f"document-{name}": lambda name=name: document(name) for name in DOCUMENTS},
    **{name: lambda name=name: fixed_table(name) for name in FIXED},
    **{name: lambda name=name: items(keys(GRID[name], ())) for name in GRID},
    **{name: lambda name=name: open_table(name) for name in KIND_OF_TABLE},
}

if __name__ == "__main__":
    (PLUGINS / FILE).write_text(index_of(create_plugin_manager(), PLUGINS), encoding="utf-8")
    for file in (DOCS / name for name in PAGES):
        file.write_text(written(file.read_text(encoding="utf-8")), encoding="utf-8")
