"""`report.html`: one run on one page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from jitkit.documents.rows import LINE, columns_of, interval_of, label_of, largest_gain, misses_line, unlike_real
from jitkit.documents.schemas import Document, Evaluation, Frontier, Gallery, Provenance, Rows
from jitkit.report import charts
from jitkit.report.page import IN_WORDS, render, words
from jitkit.report.run_record import GALLERY, PAGE, REPORT, RunRecord, is_run, read_run
from jitkit.storage.atomic import atomic_write, make_folder

SHOWN = ("judge_bits", "entropy", "known_words", "repeated", "distinct", "copied")  # of a frontier's points


def write_document(path: Path, document: Document) -> Path:
    """Write a document as JSON; return its path. Raises ResourceError when it cannot be written."""
    text = json.dumps(document.as_json(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def write_page(record: RunRecord, folder: Path) -> Path:
    """Write `report.html` of a run into `folder`; return its path. Raises ResourceError when it cannot be written."""
    text = run_html(record)
    with atomic_write(folder / PAGE) as file:
        file.write(text.encode(errors="replace"))
    return folder / PAGE


def write_report(evaluation: Evaluation, gallery: Gallery | None, folder: Path, run: Path) -> list[Path]:
    """Write `report.json`, `gallery.json` and `report.html` into `folder`, made if absent; return their paths.

    The page also shows what lies in the folder `run` of the checkpoint: the log, and a frontier. Raises ResourceError when
    the folder cannot be written.
    """
    make_folder(folder)
    written = [write_document(folder / REPORT, evaluation)]
    if gallery is not None:
        written.append(write_document(folder / GALLERY, gallery))
    record = read_run(run) if is_run(run) else RunRecord(evaluation.model, run)
    return [*written, write_page(replace(record, evaluation=evaluation, gallery=gallery), folder)]


def run_html(record: RunRecord) -> str:
    """Return the page of a run: as much of it as has been measured."""
    evaluation, gallery, frontier = record.evaluation, record.gallery, record.frontier
    measured = evaluation.measurements if evaluation else {}
    tables = [table(name, rows) for name, rows in measured.items() if isinstance(rows, list) and rows]
    lines = [row for each in tables for row in each["rows"] if LINE in row and "t" in row]
    gain = largest_gain(lines)
    documents = [document for document in (evaluation, gallery, frontier) if document]
    origin = next((document.provenance for document in documents), None)
    return render(
        "run.html.jinja",
        record=record,
        model=next((document.model for document in documents), record.manifest.get("id", record.name)),
        evaluation=evaluation,
        gallery=gallery,
        films=[sample for sample in gallery.samples if sample.frames] if gallery else [],
        gain=gain and {"row": gain[0], "key": gain[1]},
        lines=lines,
        cards=[
            {"metric": name, "key": key, "value": value, "interval": interval_of(values, key)}
            for name, values in measured.items()
            if isinstance(values, dict)
            for key, value in values.items()
            if key in columns_of([values])
        ],
        tables=tables,
        losses=charts.losses({record.name: record.log}) if record.log else None,
        margin=charts.margin(gallery.codec) if gallery else None,
        frontier=charts.frontier({record.name: frontier}) if frontier else None,
        points=_points(frontier) if frontier else None,
        facts=_facts(evaluation, frontier, origin),
        manifest=origin.manifest if origin else "",
    )


def table(metric: str, rows: Rows) -> dict[str, Any]:
    """Return what a page shows of the rows of a metric: a chart over t where it has times, and the numbers."""
    columns, label = columns_of(rows), label_of(rows)
    return {
        "metric": metric,
        "label": label,
        "columns": columns,
        "rows": rows,
        "figure": None if label or "t" not in columns else charts.over_t(rows, IN_WORDS, f"{words(metric)} against t"),
        "misses": any(misses_line(row, name) for row in rows for name in columns),
        "unlike": any(unlike_real(row, rows, name) for row in rows for name in columns),
        "intervals": any(interval_of(row, name) for row in rows for name in columns),
    }


def _points(frontier: Frontier) -> dict[str, Any]:
    """Return the table of a frontier: settings and figures of each point, then those of the texts beside them."""
    axes = {axis: axis.rpartition(".")[2] for axis in frontier.axes}
    return {
        "axes": list(axes.values()),
        "columns": SHOWN,
        "rows": [([str(point.set[axis]) for axis in axes], point.measured) for point in frontier.points],
        "marks": frontier.marks,
    }


def _facts(
    evaluation: Evaluation | None, frontier: Frontier | None, origin: Provenance | None
) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if evaluation:
        facts += [
            ("checkpoint", evaluation.checkpoint),
            ("step, epoch", f"{evaluation.step}, {evaluation.epoch}"),
            ("held-out text", evaluation.held_out),
            ("sampler", f"{evaluation.sampler.use}, {evaluation.sampler.steps} steps from noise"),
            *([("settings", ", ".join(evaluation.set))] if evaluation.set else []),
            ("seed of the noise", str(evaluation.seed)),
            ("device", evaluation.device),
            ("seconds", f"{evaluation.seconds:g}"),
        ]
    elif frontier:
        facts += [("checkpoint", frontier.checkpoint), ("held-out text", frontier.held_out)]
        facts += [("texts a point", str(frontier.num_texts)), ("first seed", str(frontier.seed))]
    if origin:
        facts += [("command", origin.command), ("machine", origin.machine)]
        facts += [("SHA-256", origin.checkpoint_sha256)] if origin.checkpoint_sha256 else []
        facts += [("versions", ", ".join(f"{name} {version}" for name, version in sorted(origin.versions.items())))]
    return facts
