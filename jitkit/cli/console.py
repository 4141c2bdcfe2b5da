"""What commands print with: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jitkit.errors import UsageError, shown
from jitkit.kinds import INFERENCE_TABLES as INFERENCE_TABLES  # commands take it from here
from jitkit.kinds import is_among

if TYPE_CHECKING:
    from rich.table import Table

out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
WIDEST = 10_000  # characters, as wide as any table wishes to be

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the manifest; deterministic."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "--data-path", "--data_path", help="Text to read: a file, a folder or a quoted glob."),
]


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout. NaN is a bug of ours and raises ValueError."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(document, ensure_ascii=not unicode, indent=2, allow_nan=False) + "\n")


def print_table(table: Table) -> None:
    """Print a table; where it is too wide for the terminal, row after row, a line a cell: no number is ever cut."""
    from rich.measure import Measurement

    if Measurement.get(out, out.options.update(width=WIDEST), table).minimum <= out.width:
        out.print(table, soft_wrap=False)
        return
    names = [str(column.header) for column in table.columns]
    for first, *cells in zip(*(column.cells for column in table.columns), strict=True):
        out.print(*filter(None, names[:1]), first)
        for name, cell in zip(names[1:], cells, strict=True):
            out.print(f"  {name}:", cell)


def check_settings(settings: Sequence[str], tables: Sequence[str]) -> None:
    """Raise UsageError for a key (of `--set`) outside of `tables`: one that says what the network is."""
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not is_among(key, tables):
            raise UsageError(shown(key), f"a key of {', '.join(tables)}, such as sampler.gamma", field="--set")


def note(text: str) -> None:
    """Print a remark on stderr."""
    err.print(f"jitkit: {text}")


def debugging() -> bool:
    """Tell whether a traceback was asked for (`--debug`, or JITKIT_DEBUG in the environment)."""
    return bool(os.environ.get("JITKIT_DEBUG"))
