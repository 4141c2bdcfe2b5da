"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jitkit.documents.comparison import Comparison
from jitkit.documents.document import Numbers, Rows
from jitkit.documents.rows import BASELINE, MODEL_COLUMNS
from jitkit.report import charts
from jitkit.report.comparison import differing_figures, run_names
from jitkit.report.labels import label
from jitkit.report.page import render
from jitkit.report.run_record import RunRecord


def compare_html(comparison: Comparison, records: Sequence[RunRecord]) -> str:
    """Return the page of `comparison`, which was made from `records`."""
    by_name = dict(zip(run_names(records), records, strict=True))
    frontiers = {name: record.frontier for name, record in by_name.items() if record.frontier}
    logs = {name: record.log for name, record in by_name.items() if record.log}
    differing = differing_figures(comparison)
    return render(
        "compare.html.jinja",
        comparison=comparison,
        groups=_by_metric(differing),
        num_equal=len(comparison.figures) - len(differing),
        names=list(by_name),
        galleries=[(name, record.gallery) for name, record in by_name.items() if record.gallery],
        accuracies=_accuracies(comparison),
        losses=charts.losses(logs) if logs else None,
        frontier=charts.frontier(frontiers) if frontiers else None,
    )


def _by_metric(figures: Mapping[str, list[Numbers | None]]) -> dict[str, dict[str, list[Numbers | None]]]:
    """Return the figures by metric, each under the rest of its name."""
    groups: dict[str, dict[str, list[Numbers | None]]] = {}
    for key, row in figures.items():
        metric, _, name = key.partition(": ")
        groups.setdefault(metric, {})[name] = row
    return groups


def _accuracies(comparison: Comparison) -> list[tuple[str, charts.Figure]]:
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
