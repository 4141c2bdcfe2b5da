"""The results of a grid as one document: a row a cell and setting, each figure with its mean and interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jitkit.ablation.dot_plot import dot_plot
from jitkit.ablation.eval_settings import EvalSetting
from jitkit.ablation.figures import chosen
from jitkit.ablation.grid import Grid
from jitkit.ablation.grid_run import GridRun
from jitkit.ablation.record import Outcome, write
from jitkit.ablation.t_interval import INTERVAL, mean_with_interval
from jitkit.ablation.table import markdown
from jitkit.storage.atomic import atomic_write

SCHEMA = "jitkit.ablate/1"


@dataclass(frozen=True)
class RunResult:
    """One setting of one run."""

    cell: GridRun
    setting: EvalSetting
    outcome: Outcome | None  # None: not trained yet
    figures: Mapping[str, float]  # none: not measured


def results(grid: Grid, measured: Sequence[RunResult]) -> dict[str, Any]:
    """Return the document, of plain values. Rows stand in the order of the grid, `columns` are those that a table shows.

    A figure is the mean over the seeds that have it, with the values by seed beside it. `seeds` says how every run ended:
    "trained", "diverged", or "waiting"; of a run that diverged there are no figures, so a mean is of those that did not.
    `difference` is from the first cell under the same setting, seed by seed: what a seed does to both falls out of it.
    """
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for item in measured:
        groups.setdefault((item.cell.point.name, item.setting.name), []).append(item)
    first = measured[0].cell.point.name
    rows = [_row(group, groups[first, group[0].setting.name]) for group in groups.values()]
    names = [name for row in rows for name in row["figures"]]
    return {
        "schema": SCHEMA,
        "grid": grid.source.origin,
        "summary": grid.summary,
        "manifest": grid.manifest,
        "set": list(grid.set),
        "seeds": list(grid.seeds),
        "interval": INTERVAL,
        "columns": chosen(names, grid.columns),
        "rows": rows,
    }


def write_results(document: Mapping[str, Any], out: Path) -> None:
    """Write `results.json`, `results.md` and `results.svg`. Raises ResourceError when the folder cannot be written."""
    write(document, out / "results.json")
    for name, text in (("results.md", markdown(document)), ("results.svg", dot_plot(document))):
        with atomic_write(out / name) as file:
            file.write(text.encode())


def _row(group: Sequence[RunResult], reference: Sequence[RunResult]) -> dict[str, Any]:
    first = group[0]
    names = dict.fromkeys(name for item in group for name in item.figures)
    return {
        "cell": first.cell.point.name,
        "eval": first.setting.table,
        "at": first.setting.point.name,
        "set": [*first.cell.point.overrides, *first.setting.overrides],
        "parameters": first.cell.dry_run.estimate.num_parameters,
        "training_flops": first.cell.dry_run.estimate.run_flops,
        "seeds": {str(item.cell.seed): item.outcome.outcome if item.outcome else "waiting" for item in group},
        "figures": {name: _figure(_by_seed(name, group), _by_seed(name, reference)) for name in names},
    }


def _by_seed(name: str, group: Sequence[RunResult]) -> dict[str, float]:
    return {str(item.cell.seed): item.figures[name] for item in group if name in item.figures}


def _figure(values: dict[str, float], reference: dict[str, float]) -> dict[str, Any]:
    figure: dict[str, Any] = {**mean_with_interval(list(values.values())), "values": values}
    differences = [value - reference[seed] for seed, value in values.items() if seed in reference]
    return figure | ({"difference": mean_with_interval(differences)} if differences else {})
