"""`jitkit eval`: evaluate a model on held-out text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jitkit.cli.completion import complete_metric
from jitkit.cli.console import note, out, print_result, print_table, show_progress, table_cell, working
from jitkit.cli.options import (
    CheckpointOption,
    DataOption,
    DeviceOption,
    EncodingOption,
    JsonOption,
    OptionalModel,
    OverwriteOption,
    SetOption,
    naming_encoding,
    out_option,
    overrides_with_data,
    require_model,
    require_new,
)
from jitkit.cli.shared_work import sharing_work
from jitkit.documents.rows import columns_of, differs_from_real, format_cell, label_of, misses_baseline
from jitkit.errors import counted
from jitkit.filesystem import exists
from jitkit.interpreter import collector_paused


def evaluate(
    model: OptionalModel = None,
    checkpoint: CheckpointOption = None,
    data: DataOption = None,
    encoding: EncodingOption = None,
    folder: Annotated[
        Path | None, out_option("FOLDER", "Folder for report.html, report.json, and gallery.json.")
    ] = None,
    device: DeviceOption = "auto",
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Maximum number of windows.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Quick estimate from fewer windows and noise levels.")] = False,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Metric to compute instead of the manifest's. Repeatable. `all` computes every metric.",
            autocompletion=complete_metric,
        ),
    ] = None,
    settings: SetOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model on held-out text, and compare with a context-free baseline.

    A checkpoint contains its held-out windows. With `--data`, the held-out part of that text is used instead.

    Example: jitkit eval run/jit-nano --out report
    """
    name = require_model(model, checkpoint)
    overrides = overrides_with_data(settings, data, encoding, "eval")
    from jitkit.report.run_record import FRONTIER, GALLERY, PAGE, REPORT, is_run

    if folder is not None and not is_run(folder):
        names = (REPORT, GALLERY) if exists(folder / FRONTIER) else (REPORT, GALLERY, PAGE)
        require_new((folder / name for name in names), overwrite, field="--out")
    with collector_paused():
        from jitkit.api.evaluate import evaluate
    from jitkit.checkpoints.open import open_model

    with sharing_work(device) as leads:
        with working("loading the model") as progress:
            opened = open_model(name, progress=progress)
        if folder is None and is_run(opened.path.parent) and not (data or limit or quick or metrics or settings):
            folder = opened.path.parent  # the standard evaluation of a run updates its report
        try:
            with naming_encoding(encoding), show_progress() as progress:
                report = evaluate(
                    opened,
                    data,
                    folder if leads else None,
                    metrics=metrics or (),
                    limit=limit,
                    quick=quick,
                    overrides=overrides,
                    device=device,
                    progress=progress,
                    keep=leads,
                    note=note,
                )
        except KeyboardInterrupt:
            note("stopped; repeat the command to continue")
            raise
    if leads:
        _report(report, folder, as_json)


def _report(report: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    """Print the report, and which files have been written into `folder`."""
    from jitkit.report.run_record import GALLERY, PAGE, REPORT

    for remark in report["notes"]:
        note(remark)
    for name, reason in report["not_measured"].items():
        note(f"{name} was not measured: {reason}")
    print_result(report, as_json, lambda: _print(report))
    for name in (REPORT, GALLERY, PAGE) if folder else ():
        note(f"wrote {Path(folder or '', name)}")


def _print(report: dict[str, Any]) -> None:
    """Print single numbers as lines, and rows as tables."""
    out.print(f"{report['model']}, step {report['step']:,}: {report['checkpoint']}")
    out.print(
        f"{report['num_windows']} of {counted(report['num_held_out'], 'held-out window')} of {counted(report['tokens_per_window'], 'token')}"
        f" ({report['held_out']}); {report['sampler']['use']}, {counted(report['sampler']['steps'], 'step')}; seed {report['seed']}"
    )
    if report["quick"]:
        out.print("Quick estimate. Run without --quick for results to compare with others.")
    out.print()

    tables = {name: report[name] for name in report["about"] if isinstance(report[name], list)}
    for name in report["about"]:
        if name not in tables:
            for key in columns_of([report[name]]):
                out.print(f"{name}.{key}: {format_cell(report[name], key)}")
    for name, rows in tables.items():
        _print_rows(name, rows)


def _print_rows(name: str, rows: list[dict[str, float | str]]) -> None:
    """Print rows over time as they are. Print labeled rows as columns, so that texts or models are side by side."""

    label, columns = label_of(rows), columns_of(rows)
    out.print(f"\n{name}")
    if label:
        header = ["", *(str(row[label]) for row in rows)]
        print_table(header, [[column, *(table_cell(row, column, rows) for row in rows)] for column in columns])
    else:
        print_table(columns, [[table_cell(row, column, rows) for column in columns] for row in rows], align="r")
    if any(misses_baseline(row, column) for row in rows for column in columns):
        out.print("! not above the context-free baseline, which needs no model")
    if any(differs_from_real(row, rows, column) for row in rows for column in columns):
        out.print("≠ differs from held-out text: the intervals do not overlap")
