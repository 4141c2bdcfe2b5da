"""`jitkit compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
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
    from jitkit.report.comparison import Figures


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Output folders of `jitkit train` or `jitkit eval --out`.")
    ],
    page: Annotated[Path | None, out_option("FILE", "Write the comparison to this HTML file.")] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: differing manifest keys, metrics, curves, and texts.

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
    from jitkit.report.comparison import comparable_figures, noisy_losses, origins

    print_lines(f"! {sentence}" for sentence in comparison.not_measured)
    if comparison.measured_differently:
        keys = ", ".join(comparison.measured_differently)
        out.print(f"! measured differently ({keys}): do not compare these metrics with each other")
    if noisy := noisy_losses(comparison):
        out.print(f"! {noisy}")
    names = [run.name for run in comparison.runs]
    differences = comparison.manifest_differences
    out.print()
    rows = [[key, *("-" if value is None else str(value) for value in values)] for key, values in differences.items()]
    print_table(["manifest", *names], rows)
    print_lines(origins(comparison))
    figures = comparable_figures(comparison)
    out.print()
    if figures:
        print_table(["", *names], _figure_rows(comparison, figures))
    else:
        out.print("nothing to compare: the runs have no number in common that differs")
    if comparison.differ:
        out.print("≠ the intervals do not overlap: the choice of windows alone does not explain the difference")
    _print_number_hidden(comparison, len(figures))


def _figure_rows(comparison: Comparison, figures: Figures) -> Iterator[list[str]]:
    """Yield the rows of the figures, and before those of each metric its name."""
    from jitkit.report.comparison import VALIDATION_LOSS, by_metric, windows_of_losses

    windows = windows_of_losses(comparison)
    for metric, rows in by_metric(figures).items():
        yield [metric, *[""] * len(comparison.runs)]
        for name, row in rows.items():
            key = f"{metric}: {name}"
            mark = "≠" if key in comparison.differ else " "
            note_on = f" ({windows})" if windows and key == VALIDATION_LOSS else ""
            yield [f"{mark} {name}{note_on}", *map(_figure, row)]


def _print_number_hidden(comparison: Comparison, num_shown: int) -> None:
    single = sum(sum(figure is not None for figure in row) == 1 for row in comparison.figures.values())
    equal = len(comparison.figures) - num_shown - single
    hidden = [f"{counted(equal, 'figure')} equal in all runs"] if equal else []
    hidden += [f"{counted(single, 'figure')} of one run only"] if single else []
    if hidden:
        out.print(f"not shown: {', '.join(hidden)} (--json lists all)")


def _figure(figure: Numbers | None) -> str:
    if figure is None:
        return "-"
    if "low" in figure:
        return format_interval(figure["value"], figure["low"], figure["high"])
    return format_value(figure["value"])
