"""`jitkit eval`: what a checkpoint can do, on text it has never seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from jitkit.cli.console import DataOption, DeviceOption, JsonOption, err, note, out, print_json


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("eval")(evaluate)


def evaluate(
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="A checkpoint (.pth), or the id of a zoo model.")],
    data: DataOption = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write report.json and report.html into this folder.")
    ] = None,
    device: DeviceOption = "auto",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Measure at most so many windows.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A first look: few windows, times and steps.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a checkpoint on held-out text, beside what the noise shows without any model.

    The checkpoint brings its held-out windows along; with --data, the held-out part of other text is measured.

    Example: jitkit eval --checkpoint run/jit-nano/best_model.pth --out report
    """
    from jitkit.discovery import create_plugin_manager
    from jitkit.discovery.notices import give_notice
    from jitkit.evaluation.report import write_report
    from jitkit.evaluation.runner import Scope, evaluate_checkpoint
    from jitkit.loading import find_checkpoint
    from jitkit.training.execution import find_device

    manager = create_plugin_manager()
    path = find_checkpoint(checkpoint)
    with _progress_bars() as progress:
        report = evaluate_checkpoint(
            path,
            manager,
            data=data,
            scope=Scope(limit, quick),
            device=find_device(device),
            progress=progress,
        )
    if folder is not None:
        for written in write_report(report, folder):
            note(f"wrote {written}")
    give_notice(manager, "jitkit_evaluated", note, folder=folder or path.parent, report=report)
    if as_json:
        print_json(report)
    else:
        _print(report)


@contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show, on a terminal only, a bar for each thing that is computed."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield show


def _print(report: dict[str, Any]) -> None:
    """Print the report for a person: single numbers as lines, rows by t as one table."""
    out.print(f"{report['model']}, step {report['step']:,}: {report['checkpoint']}")
    out.print(
        f"{report['num_windows']} of {report['num_held_out']} held-out windows of {report['tokens_per_window']} tokens"
        f" ({report['held_out']}); {report['sampler']['use']}, {report['sampler']['steps']} steps; seed {report['seed']}"
    )
    if report["quick"]:
        out.print("A quick look: for figures to compare with others, leave --quick out.")
    out.print()
    measured = {name: report[name] for name in report["about"]}
    for name, values in measured.items():
        if isinstance(values, dict):
            for key, value in values.items():
                out.print(f"{name}.{key}: {value:.4f}")
    tables = {name: rows for name, rows in measured.items() if isinstance(rows, list)}
    for name, rows in tables.items():
        _print_rows(name, rows)


def _print_rows(name: str, rows: list[dict[str, float]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from jitkit.evaluation.rows import misses_line

    table = Table(box=None)
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        cells = []
        for key, value in row.items():
            if misses_line(row, key):
                cells.append(Text(f"{value:.4f} !", style="red"))
            else:
                cells.append(Text(f"{value:g}" if key == "t" else f"{value:.4f}  "))
        table.add_row(*cells)
    out.print(f"\n{name}")
    out.print(table, soft_wrap=False)
    if any(misses_line(row, key) for row in rows for key in row):
        out.print("! not above the contextless line, which is what the noise shows without any model")
