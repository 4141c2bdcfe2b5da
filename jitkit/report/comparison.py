"""Comparing runs: their figures, the settings in which they differ, and the page that shows both."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jitkit.documents.document import MetricValues, Numbers, Rows
from jitkit.documents.rows import (
    BASELINE,
    FEW_WINDOWS,
    MODEL_COLUMNS,
    Row,
    columns_of,
    interval_of,
    intervals_overlap,
    label_of,
)
from jitkit.documents.schemas import ComparedRun, Comparison
from jitkit.report import charts
from jitkit.report.page import label, render
from jitkit.report.plot import Figure
from jitkit.report.run_record import RunRecord

Keys = Mapping[str, Any]
Figures = Mapping[str, list[Numbers | None]]
"""Each figure by its full name: its value in each run, None where it was not measured."""

VALIDATION_LOSS = "log: lowest validation_loss"  # the name of this figure
CONDITIONS = ("held_out", "num_held_out", "num_windows", "tokens_per_window", "seed", "quick")  # of an evaluation


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Return the comparison of runs, in their order."""
    by_run = [_figures(record) for record in records]
    figures = {key: [of_run.get(key) for of_run in by_run] for key in dict.fromkeys(k for run in by_run for k in run)}
    names = _run_names(records)
    conditions = _differences([_conditions(record) for record in records if record.evaluation])
    return Comparison(
        runs=[
            ComparedRun(
                name=name,
                folder=str(record.folder),
                step=record.step,
                validation_loss=record.validation_loss,
                validation_windows=record.validation_windows,
                initial=record.initial,
                teacher=record.teacher,
                measured=record.measurements,
            )
            for name, record in zip(names, records, strict=True)
        ],
        manifest_differences=_differences([_flat(record.manifest) for record in records]),
        measured_differently=conditions,
        not_measured=list(_not_measured(records, names)),
        figures=figures,
        differ=[] if conditions else [key for key, row in figures.items() if _differ(row)],
    )


def _not_measured(records: Sequence[RunRecord], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each run that was not evaluated, or lacks metrics of another run, with the command to run."""
    everything = list(dict.fromkeys(metric for record in records for metric in record.measurements))
    for name, record in zip(names, records, strict=True):
        missing = [metric for metric in everything if metric not in record.measurements]
        folder = shlex.quote(str(record.folder))
        if record.evaluation is None:
            yield f"{name} was not evaluated, so only its training log is compared. Evaluate it: jitkit eval {folder}"
        elif missing:
            options = "".join(f" --metric {metric}" for metric in everything)
            lacks = f"{name} was evaluated without {', '.join(missing)}."
            model = shlex.quote(record.evaluation.checkpoint)
            yield f"{lacks} Measure everything: jitkit eval {model}{options} --out {folder}"


def origins(comparison: Comparison) -> list[str]:
    """Return a sentence for each model that a run started from or learned from, which no manifest names."""
    first = [f"{run.name} began with the weights of {run.initial}" for run in comparison.runs if run.initial]
    return first + [f"{run.name} distilled {run.teacher}" for run in comparison.runs if run.teacher]


def noisy_losses(comparison: Comparison) -> str:
    """Return a sentence on validation losses of few windows; empty if no run is known to have few."""
    few = [run for run in comparison.runs if run.validation_windows and run.validation_windows < FEW_WINDOWS]
    if not few:
        return ""
    names = ", ".join(f"{run.name}: {run.validation_windows}" for run in few)
    return f"validation losses of so few windows ({names}) say little; compare the figures that have intervals"


def windows_of_losses(comparison: Comparison) -> str:
    """Return the number of windows behind the validation losses: "8 windows", "8, 64 windows", or "" if unknown."""
    numbers = dict.fromkeys(run.validation_windows for run in comparison.runs if run.validation_windows is not None)
    return f"{', '.join(map(str, numbers))} windows" if numbers else ""


def comparable_figures(comparison: Comparison) -> dict[str, list[Numbers | None]]:
    """Return the figures that at least two runs have, and that differ."""
    found = {key: [figure for figure in row if figure] for key, row in comparison.figures.items()}
    return {key: comparison.figures[key] for key, row in found.items() if any(figure != row[0] for figure in row)}


def differing_figures(comparison: Comparison) -> dict[str, list[Numbers | None]]:
    """Return the figures that are not equal in all runs."""
    return {key: row for key, row in comparison.figures.items() if any(figure != row[0] for figure in row)}


def _run_names(records: Sequence[RunRecord]) -> list[str]:
    """Return a name for each run: its folder's name, or the path if several folders have that name."""
    names = [record.name for record in records]
    return [str(record.folder) if names.count(name) > 1 else name for name, record in zip(names, records, strict=True)]


def _differ(figures: Sequence[Numbers | None]) -> bool:
    """Return whether the intervals of any two figures do not overlap."""
    intervals = [(figure["low"], figure["high"]) for figure in figures if figure and "low" in figure]
    return bool(intervals) and not intervals_overlap(intervals)


def _has_two_intervals(figures: Sequence[Numbers | None]) -> bool:
    return sum(figure is not None and "low" in figure for figure in figures) > 1


def _differences(columns: Sequence[Keys]) -> dict[str, list[Any]]:
    """Return the keys whose values are not equal in all `columns`, with the value in each."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key) for column in columns] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _flat(table: Keys, prefix: str = "") -> dict[str, Any]:
    """Return the keys of nested tables, dotted as in `--set`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": _plain(value)}
    return flat


def _plain(value: Any) -> Any:
    """Return a TOML value as one that JSON has too: dates, times and numbers that are not finite become text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    is_plain = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else str(value)


def _conditions(record: RunRecord) -> Keys:
    """Return what must be equal for figures to be comparable."""
    tokenizer = record.manifest.get("tokenizer", {}).get("use")
    return {**{key: getattr(record.evaluation, key) for key in CONDITIONS}, "tokenizer": tokenizer}


def _figures(record: RunRecord) -> dict[str, Numbers]:
    """Return every figure of a run by its full name: metric, row, and column."""
    figures: dict[str, Numbers] = {}
    if record.validation_loss is not None:
        figures[VALIDATION_LOSS] = {"value": record.validation_loss}
    for metric, measurement in record.measurements.items():
        for row, numbers in _rows(measurement):
            for key in columns_of([numbers]):
                if key != "t":
                    bounds = zip(("low", "high"), interval_of(numbers, key) or (), strict=False)
                    name = " ".join(part for part in (f"{metric}:", row, key) if part)
                    figures[name] = {"value": float(numbers[key]), **dict(bounds)}
    return figures


def _rows(measurement: MetricValues) -> Iterator[tuple[str, Row]]:
    """Yield the name and the numbers of each row."""
    if isinstance(measurement, dict):
        yield "", measurement
        return
    key = (label_of(measurement) if measurement else None) or ""
    for index, row in enumerate(measurement):
        yield f"t={row['t']:g}" if "t" in row else str(row.get(key, index)), row


def compare_html(comparison: Comparison, records: Sequence[RunRecord]) -> str:
    """Return the page of `comparison`, which was made from `records`."""
    by_name = {run.name: record for run, record in zip(comparison.runs, records, strict=True)}
    frontiers = {name: record.frontier for name, record in by_name.items() if record.frontier}
    logs = {name: record.log for name, record in by_name.items() if record.log}
    differing = differing_figures(comparison)
    return render(
        "compare.html.jinja",
        comparison=comparison,
        groups=by_metric(differing),
        overlapping=not comparison.differ and any(map(_has_two_intervals, comparison.figures.values())),
        equal_seeds=len({tuple(sample.seed for sample in one.gallery.samples) for one in records if one.gallery}) == 1,
        num_equal=len(comparison.figures) - len(differing),
        origins=origins(comparison),
        noisy=noisy_losses(comparison),
        windows=windows_of_losses(comparison),
        validation_loss=VALIDATION_LOSS,
        names=list(by_name),
        galleries=[(name, record.gallery) for name, record in by_name.items() if record.gallery],
        accuracies=_accuracies(comparison),
        losses=charts.losses(logs) if logs else None,
        frontier=charts.frontier(frontiers) if frontiers else None,
    )


def by_metric(figures: Figures) -> dict[str, dict[str, list[Numbers | None]]]:
    """Return the figures by metric, each under the rest of its name."""
    groups: dict[str, dict[str, list[Numbers | None]]] = {}
    for key, row in figures.items():
        metric, _, name = key.partition(": ")
        groups.setdefault(metric, {})[name] = row
    return groups


def _accuracies(comparison: Comparison) -> list[tuple[str, Figure]]:
    """Return a titled chart of each accuracy that at least two runs measured over t."""
    figures = []
    for metric in dict.fromkeys(metric for run in comparison.runs for metric in run.measured):
        for key in MODEL_COLUMNS:
            runs: dict[str, Rows] = {}
            for run in comparison.runs:
                rows = run.measured.get(metric)
                if isinstance(rows, list) and rows and {"t", key, BASELINE} <= rows[0].keys():
                    runs[run.name] = rows
            if len(runs) > 1:
                title = f"{label(metric)}, {label(key)}"
                figures.append((title, charts.compared(runs, key, title)))
    return figures
