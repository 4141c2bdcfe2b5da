"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jitkit.documents.rows import LINE, MODEL_COLUMNS
from jitkit.documents.schemas import Comparison, Numbers, Rows
from jitkit.report import charts
from jitkit.report.comparison import run_names, uneven
from jitkit.report.page import render, words
from jitkit.report.run_record import RunRecord


def compare_html(comparison: Comparison, records: Sequence[RunRecord]) -> str:
    """Return the page of `comparison`, which was made from `records`."""
    names = run_names(records)
    by_name = dict(zip(names, records, strict=True))
    frontiers = {name: record.frontier for name, record in by_name.items() if record.frontier}
    logs = {name: record.log for name, record in by_name.items() if record.log}
    return render(
        "compare.html.jinja",
        comparison=comparison,
        groups=_groups(uneven(comparison)),
        num_equal=len(comparison.figures) - len(uneven(comparison)),
        names=names,
        galleries=[(name, record.gallery) for name, record in by_name.items() if record.gallery],
        recoveries=_recoveries(comparison),
        losses=charts.losses(logs) if logs else None,
        frontier=charts.frontier(frontiers) if frontiers else None,
    )


def _groups(by_name: Mapping[str, list[Numbers | None]]) -> dict[str, dict[str, list[Numbers | None]]]:
    """Return the figures by their metric, under what is left of their names."""
    groups: dict[str, dict[str, list[Numbers | None]]] = {}
    for key, figures in by_name.items():
        metric, _, name = key.partition(": ")
        groups.setdefault(metric, {})[name] = figures
    return groups


def _recoveries(comparison: Comparison) -> list[tuple[str, charts.Figure]]:
    """Return a chart of each reading that at least two runs have measured over t, with what it shows."""
    figures = []
    metrics = dict.fromkeys(metric for run in comparison.runs for metric in run.measured)
    for metric in metrics:
        for key in MODEL_COLUMNS:
            runs: dict[str, Rows] = {}
            for run in comparison.runs:
                rows = run.measured.get(metric)
                if isinstance(rows, list) and rows and {"t", key, LINE} <= rows[0].keys():
                    runs[run.name] = rows
            if len(runs) > 1:
                figures.append((f"{words(metric)}, {words(key)}", charts.compared(metric, runs, key, words(key))))
    return figures
