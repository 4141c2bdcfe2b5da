"""The page of a run: `report.html`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jitkit.checkpoints.run_index import add_reports
from jitkit.documents.document import Provenance, Rows, write_document
from jitkit.documents.rows import (
    BASELINE,
    columns_of,
    differs_from_real,
    format_cell,
    interval_of,
    label_of,
    largest_gain,
    misses_baseline,
)
from jitkit.documents.schemas import Evaluation, Frontier, Gallery
from jitkit.errors import counted
from jitkit.report import charts
from jitkit.report.page import label, render
from jitkit.report.run_record import GALLERY, PAGE, REPORT, RunRecord, is_run, read_run
from jitkit.storage.atomic import make_folder, write_file


def write_page(record: RunRecord, folder: Path) -> Path:
    """Write `report.html` of a run into `folder` and return its path. Raises ResourceError if it cannot be written."""
    text = run_html(record)
    write_file(folder / PAGE, text.encode(errors="replace"))
    return folder / PAGE


def write_report(evaluation: Evaluation, gallery: Gallery, folder: Path, run: Path) -> list[Path]:
    """Write `report.json`, `gallery.json` and `report.html` into `folder` (created if needed); return their paths.

    The page also shows the log and the frontier in the folder `run` of the checkpoint. Raises ResourceError if the
    folder cannot be written.
    """
    make_folder(folder)
    written = [write_document(folder / REPORT, evaluation), write_document(folder / GALLERY, gallery)]
    record = read_run(run) if is_run(run) else RunRecord(evaluation.model, run)
    written.append(write_page(replace(record, evaluation=evaluation, gallery=gallery), folder))
    add_reports(folder, (path.name for path in written))
    return written


def run_html(record: RunRecord) -> str:
    """Return the page of a run, with whatever has been measured."""
    evaluation, gallery, frontier = record.evaluation, record.gallery, record.frontier
    measured = record.measurements
    tables = [_table(name, rows) for name, rows in measured.items() if isinstance(rows, list) and rows]
    accuracies = [row for each in tables for row in each["rows"] if BASELINE in row and "t" in row]
    gain = largest_gain(accuracies)
    documents = [document for document in (evaluation, gallery, frontier) if document]
    provenance = next((document.provenance for document in documents), None)
    return render(
        "run.html.jinja",
        record=record,
        model=next((document.model for document in documents), record.manifest.get("id", record.name)),
        evaluation=evaluation,
        gallery=gallery,
        films=[sample for sample in gallery.samples if sample.frames] if gallery else [],
        gain=gain and {"row": gain[0], "key": gain[1]},
        accuracies=accuracies,
        cards=[
            {"metric": name, "key": key, "text": format_cell(values, key)}
            for name, values in measured.items()
            if isinstance(values, dict)
            for key in columns_of([values])
        ],
        tables=tables,
        losses=charts.losses({record.name: record.log}) if record.log else None,
        tolerance=charts.noise_tolerance(gallery.codec) if gallery else None,
        frontier=charts.frontier({record.name: frontier}) if frontier else None,
        points=_points(frontier) if frontier else None,
        facts={key: value for key, value in _facts(evaluation, frontier, provenance).items() if value},
        manifest=provenance.manifest if provenance else "",
    )


def _table(metric: str, rows: Rows) -> dict[str, Any]:
    """Return what the page shows of a metric's rows: the numbers, and a chart if they are measured over t."""
    columns, row_label = columns_of(rows), label_of(rows)
    return {
        "metric": metric,
        "label": row_label,
        "columns": columns,
        "rows": rows,
        "figure": None if row_label or "t" not in columns else charts.over_t(rows, f"{label(metric)} against t"),
        "misses": any(misses_baseline(row, name) for row in rows for name in columns),
        "differs": any(differs_from_real(row, rows, name) for row in rows for name in columns),
        "intervals": any(interval_of(row, name) for row in rows for name in columns),
    }


def _points(frontier: Frontier) -> dict[str, Any]:
    """Return the table of a frontier: settings and scores of each point, then the scores of the reference texts."""
    axes = {axis: axis.rpartition(".")[2] for axis in frontier.axes}
    return {
        "axes": list(axes.values()),
        "columns": frontier.columns,
        "rows": [([str(point.set[axis]) for axis in axes], point.measured) for point in frontier.points],
        "marks": frontier.marks,
        "undrawn": sum(not set(frontier.columns[:2]) <= point.measured.keys() for point in frontier.points),
    }


def _facts(
    evaluation: Evaluation | None, frontier: Frontier | None, provenance: Provenance | None
) -> dict[str, str | None]:
    """Return what the section on provenance lists, by name."""
    facts: dict[str, str | None] = {}
    if evaluation:
        facts = {
            "checkpoint": evaluation.checkpoint,
            "step, epoch": f"{evaluation.step}, {evaluation.epoch}",
            "held-out text": evaluation.held_out,
            "sampler": f"{evaluation.sampler.use}, {counted(evaluation.sampler.steps, 'step')}",
            "overrides": ", ".join(evaluation.set),
            "seed": str(evaluation.seed),
            "device": evaluation.device,
            "seconds": f"{evaluation.seconds:g}",
        }
    elif frontier:
        facts = {
            "checkpoint": frontier.checkpoint,
            "held-out text": frontier.held_out,
            "samples per point": str(frontier.num_texts),
            "first seed": str(frontier.seed),
        }
    if provenance:
        facts |= {
            "command": provenance.command,
            "machine": provenance.machine,
            "SHA-256": provenance.checkpoint_sha256,
            "versions": ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items())),
        }
    return facts
