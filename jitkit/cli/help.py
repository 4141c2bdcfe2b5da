"""The help of commands: usage, description, and options in panels. Plain text, so that showing it imports nothing large."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer
    from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

BOLD, CYAN, DIM = "1", "36", "2"
MAX_WIDTH = 100  # characters of a line
NAMES_WIDTH = 28  # of the column with the names of options; a longer name has a line of its own
MIN_TEXT_WIDTH = 30  # of the column with their meaning; on a narrower terminal it starts on the next line
ALIASES = ("--data-path", "--data_path", "--output")  # other spellings, which the help leaves out
TYPES = {"int": "N", "float": "NUMBER", "Path": "PATH", "str": "TEXT"}


class Row(NamedTuple):
    """A name and what it means."""

    name: str
    meaning: str


def command_help(command: TyperCommand | TyperGroup, context: typer.Context, commands: dict[str, list[Row]]) -> str:
    """Return the help of a command. `commands` are the subcommands of a group, by panel."""
    panels: dict[str, list[Row]] = {}
    for parameter in command.get_params(context):
        if not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or f"{parameter.param_type_name.capitalize()}s"
            panels.setdefault(panel, []).append(parameter_row(parameter))  # type: ignore[arg-type]
    options = panels.pop("Options", [])
    first = textwrap.fill(f"Usage: {usage(command, context)}", _width(), subsequent_indent="    ")
    blocks = [first.replace("Usage:", _styled("Usage:", BOLD), 1), *_paragraphs(command.help or "")]
    blocks += [_panel(title, rows) for title, rows in {**commands, **panels, "Options": options}.items() if rows]
    return "\n\n".join(blocks) + "\n"


def usage(command: TyperCommand | TyperGroup, context: typer.Context) -> str:
    """Return the command with its arguments: "jitkit train [OPTIONS] MANIFEST"."""
    pieces = command.collect_usage_pieces(context)
    return " ".join([context.command_path, *pieces]).replace("{", "").replace("}", "")


def parameter_row(parameter: TyperOption | TyperArgument) -> Row:
    """Return the names and placeholder of an option or argument, and its meaning with default and range."""
    is_option = parameter.param_type_name == "option"
    opts = [name for name in parameter.opts if name not in ALIASES]
    names = sorted(opts, key=lambda name: name.startswith("--")) if is_option else []
    if not (is_option and getattr(parameter, "is_flag", False)):
        names.append(placeholder(parameter))
    *options, last = names
    name = " ".join(filter(None, [", ".join(options), last])) if not last.startswith("-") else ", ".join(names)
    default = parameter.default
    facts = [f"default: {default}"] if _is_shown(default) else []
    facts += ["required"] if is_option and parameter.required else []
    return Row(name, "  ".join(filter(None, [parameter.help or "", *(f"[{fact}]" for fact in facts)])))


def placeholder(parameter: TyperOption | TyperArgument) -> str:
    """Return what stands for the value of a parameter: "MODEL", "N"."""
    many = "..." if parameter.nargs == -1 else ""
    return (parameter.metavar or TYPES.get(parameter.bare_type(), "VALUE")) + many


def _is_shown(default: object) -> bool:
    return isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a description, each on lines of the terminal's width."""
    return [textwrap.fill(" ".join(part.split()), _width()) for part in cleandoc(text).split("\n\n") if part]


def _panel(title: str, rows: Sequence[Row]) -> str:
    return "\n".join([_styled(title, BOLD), *_columns(rows)])


def _columns(rows: Sequence[Row]) -> Iterable[str]:
    """Yield the lines of rows: names on the left, meanings on the right, or below them on a narrow terminal."""
    column = min(max(len(row.name) for row in rows), NAMES_WIDTH) + 2
    if _width() - 2 - column < MIN_TEXT_WIDTH:
        column = 4
    for name, meaning in rows:
        first, *rest = textwrap.wrap(meaning, max(10, _width() - 2 - column)) or [""]
        styled = re.sub(r"(?<![\w-])--?\w[\w-]*", lambda match: _styled(match[0], CYAN), name)
        if len(name) + 2 > column:
            yield f"  {styled}"
            yield f"  {' ' * column}{first}".rstrip()
        else:
            yield f"  {styled}{' ' * (column - len(name))}{first}".rstrip()
        yield from (f"  {' ' * column}{line}" for line in rest)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, MAX_WIDTH)


def _styled(text: str, code: str) -> str:
    """Return `text` in a style if stdout is a terminal that shows styles."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not (sys.stdout and sys.stdout.isatty())
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
