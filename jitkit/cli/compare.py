"""`jitkit compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.console import JsonOption, note, out, print_json, print_table
from jitkit.errors import UsageError, visible

if TYPE_CHECKING:
    from jitkit.documents.comparison import Comparison
    from jitkit.documents.document import Numbers


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(compare)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `jitkit train` or `jitkit eval --out` wrote.")],
    page: Annotated[Path | None, typer.Option("--out", help="Write the comparison as a page, HTML.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Put runs side by side: the manifest keys in which they differ, their figures, curves and texts.

    Example: jitkit compare run/a run/b --out compare.html
    """
    from jitkit.report.compare_page import compare_html
    from jitkit.report.comparison import compare
    from jitkit.report.run_record import read_run
    from jitkit.storage.atomic import atomic_write

    if len(runs) < 2:
        raise UsageError("one run", "at least two", field="RUN")
    records = [read_run(folder) for folder in runs]
    comparison = compare(records)
    if as_json:
        print_json(comparison.as_json())
    else:
        _print(comparison)
    if page is not None:
        with atomic_write(page) as file:
            file.write(compare_html(comparison, records).encode(errors="replace"))
        note(f"wrote {page}")


def _print(comparison: Comparison) -> None:
    from jitkit.report.comparison import differing_figures

    if comparison.measured_differently:
        keys = ", ".join(comparison.measured_differently)
        out.print(f"! not measured alike ({visible(keys)}): figures are not to be compared with each other")
    names = [run.name for run in comparison.runs]
    differences = comparison.manifest_differences
    _print_table("manifest", names, {key: [_spelled(value) for value in row] for key, row in differences.items()})
    shown = differing_figures(comparison)
    rows = {f"{'≠ ' if key in comparison.differ else ''}{key}": list(map(_cell, row)) for key, row in shown.items()}
    _print_table("figures", names, rows)
    if equal := len(comparison.figures) - len(shown):
        out.print(f"{equal} figure{'s are' if equal > 1 else ' is'} the same in all runs (--json has them)")
    if comparison.differ:
        out.print("≠ intervals apart: more than another draw of as many windows explains")


def _print_table(title: str, names: list[str], rows: dict[str, list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, overflow="fold")
    for name in names:
        table.add_column(Text(visible(name)), justify="right", overflow="fold")
    for key, cells in rows.items():
        table.add_row(Text(visible(key)), *(Text(visible(cell)) for cell in cells))
    out.print()
    print_table(table)


def _spelled(value: object) -> str:
    return "-" if value is None else str(value)


def _cell(figure: Numbers | None) -> str:
    """Return a figure with half the width of its interval, where it has one."""
    from jitkit.documents.rows import format_interval

    if figure is None:
        return "-"
    if "low" in figure:
        return format_interval(figure["value"], figure["low"], figure["high"])
    value = figure["value"]
    return f"{value:,.0f}" if value > 1 and value == int(value) else f"{value:.4f}"
