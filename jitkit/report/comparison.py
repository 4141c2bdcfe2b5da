"""Several runs beside each other: what they measured, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitkit.documents.rows import columns_of, interval_of, label_of
from jitkit.documents.schemas import ComparedRun, Comparison, MetricValues, Numbers
from jitkit.report.run_record import RunRecord

Keys = Mapping[str, Any]


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Return the comparison of runs, which keep their order; runs of one name are told apart by their folders."""
    manifests = [_flat(record.manifest) for record in records]
    by_run = [_figures(record) for record in records]
    figures = {key: [of_run.get(key) for of_run in by_run] for key in dict.fromkeys(k for run in by_run for k in run)}
    unlike = _differences([_conditions(record) for record in records if record.evaluation])
    return Comparison(
        runs=[
            ComparedRun(
                name=name,
                folder=str(record.folder),
                step=record.step,
                validation_loss=record.validation_loss,
                measured=record.evaluation.measurements if record.evaluation else {},
            )
            for name, record in zip(run_names(records), records, strict=True)
        ],
        manifest_differences=_differences(manifests),
        measured_differently=unlike,
        figures=figures,
        differ=[] if unlike else [key for key, row in figures.items() if _apart(row)],
    )


def uneven(comparison: Comparison) -> dict[str, list[Numbers | None]]:
    """Return the figures that are not the same in all runs; the others are those of no model, or of the same one."""
    return {key: row for key, row in comparison.figures.items() if any(figure != row[0] for figure in row)}


def run_names(records: Sequence[RunRecord]) -> list[str]:
    """Return a name for each run: that of its folder, or the whole path where two are called the same."""
    names = [record.name for record in records]
    return [str(record.folder) if names.count(name) > 1 else name for name, record in zip(names, records, strict=True)]


def _apart(figures: Sequence[Numbers | None]) -> bool:
    """Tell whether the intervals of two of the figures have nothing in common."""
    bounds = [(figure["low"], figure["high"]) for figure in figures if figure and "low" in figure]
    return bool(bounds) and max(low for low, _ in bounds) > min(high for _, high in bounds)


def _differences(columns: Sequence[Keys]) -> dict[str, list[Any]]:
    """Return the keys whose values are not the same in all `columns`, with the value in each."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key) for column in columns] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _flat(table: Keys, prefix: str = "") -> dict[str, Any]:
    """Return the keys of nested tables, dotted as in `--set`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _conditions(record: RunRecord) -> Keys:
    """Return what has to be the same for figures to be compared."""
    evaluation = record.evaluation
    assert evaluation
    keys = ("held_out", "num_held_out", "num_windows", "tokens_per_window", "seed", "quick")
    manifest = record.manifest.get("tokenizer", {})
    return {**{key: getattr(evaluation, key) for key in keys}, "tokenizer": manifest.get("use")}


def _figures(record: RunRecord) -> dict[str, Numbers]:
    """Return every figure of a run under a name that says all about it: metric, row and column."""
    figures: dict[str, Numbers] = {}
    if record.validation_loss is not None:
        figures["log: lowest validation_loss"] = {"value": record.validation_loss}
    measured = record.evaluation.measurements if record.evaluation else {}
    for metric, measurement in measured.items():
        for row, numbers in _rows(measurement):
            for key in columns_of([numbers]):
                if key != "t":
                    name = " ".join(part for part in (f"{metric}:", row, key) if part)
                    figures[name] = _with_interval(numbers, key)
    return figures


def _rows(measurement: MetricValues) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(measurement, dict):
        return [("", dict(measurement))]
    label = label_of(measurement) if measurement else None
    return [
        (f"t={row['t']:g}" if "t" in row else str(row.get(label or "", number)), dict(row))
        for number, row in enumerate(measurement)
    ]


def _with_interval(row: dict[str, Any], key: str) -> Numbers:
    interval = interval_of(row, key)
    return {"value": float(row[key]), **({"low": interval[0], "high": interval[1]} if interval else {})}
