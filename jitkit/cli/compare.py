"""`jitkit compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.console import note, out, print_lines, print_result, print_table, working
from jitkit.cli.options import JsonOption, OverwriteOption, out_option, require_new
from jitkit.documents.rows import format_interval, format_value
from jitkit.errors import UsageError, counted
from jitkit.storage.atomic import write_output

if TYPE_CHECKING:
    from jitkit.documents.document import Numbers
    from jitkit.documents.schemas import Comparison


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Output folders of `jitkit train` or `jitkit eval --out`.")
    ],
    page: Annotated[Path | None, out_option("FILE", "Write the comparison to this HTML file.")] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: differing manifest keys, metrics, curves and texts.

    Example: jitkit compare run/a run/b --out compare.html
    """
    if len(runs) < 2:
        raise UsageError("one run", "at least two", field="RUN")
    require_new([page] if page else [], overwrite, field="--out")
    from jitkit.report.comparison import compare, compare_html
    from jitkit.report.run_record import read_run

    with working("reading runs"):
        records = [read_run(folder) for folder in runs]
        comparison = compare(records)
    print_result(comparison.as_json(), as_json, lambda: _print(comparison))
    if page is not None:
        write_output(page, compare_html(comparison, records).encode(errors="replace"))
        note(f"wrote {page}")


def _print(comparison: Comparison) -> None:
    from jitkit.report.comparison import differing_figures

    print_lines(f"! {sentence}" for sentence in comparison.not_measured)
    if comparison.measured_differently:
        keys = ", ".join(comparison.measured_differently)
        out.print(f"! measured differently ({keys}): do not compare these metrics with each other")
    names = [run.name for run in comparison.runs]
    differences = comparison.manifest_differences
    out.print()
    rows = [[key, *("-" if value is None else str(value) for value in values)] for key, values in differences.items()]
    print_table(["manifest", *names], rows)
    figures = differing_figures(comparison)
    rows = [[f"≠ {key}" if key in comparison.differ else key, *map(_figure, row)] for key, row in figures.items()]
    out.print()
    print_table(["figures", *names], rows)
    if equal := len(comparison.figures) - len(figures):
        out.print(f"the same in all runs: {counted(equal, 'figure')} (--json lists them)")
    if comparison.differ:
        out.print("≠ intervals do not overlap: more than sampling other windows explains")


def _figure(figure: Numbers | None) -> str:
    if figure is None:
        return "-"
    if "low" in figure:
        return format_interval(figure["value"], figure["low"], figure["high"])
    return format_value(figure["value"])
