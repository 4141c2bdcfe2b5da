"""The results of a grid as one document: a row per cell and evaluation, each figure with mean and interval over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jitkit.ablation.dot_plot import dot_plot
from jitkit.ablation.folder import Outcome, write_json
from jitkit.ablation.grid import EvalSetting, Grid
from jitkit.ablation.planning import GridRun
from jitkit.ablation.shares import with_clipped_shares
from jitkit.ablation.t_interval import INTERVAL, mean_and_interval
from jitkit.ablation.table import markdown
from jitkit.documents.rows import columns_of, label_of
from jitkit.storage.atomic import write_file

SCHEMA = "jitkit.ablate/1"


@dataclass(frozen=True)
class RunResult:
    """The result of one run under one evaluation setting."""

    run: GridRun
    setting: EvalSetting
    outcome: Outcome | None  # None: not trained yet
    figures: Mapping[str, float]  # empty: not evaluated


def summarize(grid: Grid, results: Sequence[RunResult]) -> dict[str, Any]:
    """Return the document. Rows are in grid order; `columns` names the figures that a table shows.

    A figure has the mean over the seeds with a value, and the values by seed. Runs that diverged have no figures. `seeds`
    gives the outcome of every run: "trained", "diverged", or "waiting". `difference` is relative to the first cell under
    the same evaluation, paired by seed, which cancels the effect of the seed.
    """
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        groups.setdefault((result.run.point.name, result.setting.name), []).append(result)
    first = results[0].run.point.name
    rows = with_clipped_shares([_row(group, groups[first, group[0].setting.name]) for group in groups.values()])
    names = [name for row in rows for name in row["figures"]]
    return {
        "schema": SCHEMA,
        "grid": grid.source.origin,
        "summary": grid.summary,
        "manifest": grid.manifest,
        "set": list(grid.set),
        "seeds": list(grid.seeds),
        "interval": INTERVAL,
        "columns": select_columns(names, grid.columns),
        "rows": rows,
    }


def write_results(document: Mapping[str, Any], out: Path) -> None:
    """Write `results.json`, `results.md`, and `results.svg`. Raises ResourceError if `out` cannot be written."""
    write_json(document, out / "results.json")
    for name, text in (("results.md", markdown(document)), ("results.svg", dot_plot(document))):
        write_file(out / name, text.encode(errors="replace"))


def _row(group: Sequence[RunResult], reference: Sequence[RunResult]) -> dict[str, Any]:
    run, setting = group[0].run, group[0].setting
    names = dict.fromkeys(name for result in group for name in result.figures)
    return {
        "cell": run.point.name,
        "eval": setting.table,
        "at": setting.point.name,
        "set": [*run.point.overrides, *setting.overrides],
        "parameters": run.dry_run.estimate.num_parameters,
        "training_flops": run.dry_run.estimate.run_flops,
        "seeds": {str(result.run.seed): result.outcome.outcome if result.outcome else "waiting" for result in group},
        "figures": {name: _figure(_by_seed(name, group), _by_seed(name, reference)) for name in names},
    }


def _by_seed(name: str, group: Sequence[RunResult]) -> dict[str, float]:
    return {str(result.run.seed): result.figures[name] for result in group if name in result.figures}


def _figure(values: dict[str, float], reference: dict[str, float]) -> dict[str, Any]:
    figure: dict[str, Any] = {**mean_and_interval(list(values.values())), "values": values}
    differences = [value - reference[seed] for seed, value in values.items() if seed in reference]
    return figure | ({"difference": mean_and_interval(differences)} if differences else {})


TRAINING = "train."  # prefix of numbers that come from training, not from a metric
DEFAULT_ROWS = ("*.model.*", "*.0.5.*")  # rows of the model, or at t = 0.5


def training_figures(outcome: Outcome) -> dict[str, float]:
    """Return the best validation loss and the training time. Losses of different objectives are not comparable."""
    numbers = {"best_loss": outcome.best_loss, "seconds": outcome.seconds}
    return {f"{TRAINING}{name}": value for name, value in numbers.items() if value is not None}


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an evaluation as METRIC.KEY, or METRIC.ROW.KEY if the metric has rows.

    ROW is the label of the row ("generation.model.entropy") or its t ("token_recovery.0.5.one_step").
    """
    found: dict[str, float] = {}
    for metric in report["about"]:
        measured = report[metric]
        if isinstance(measured, Mapping):
            found |= {f"{metric}.{key}": value for key, value in measured.items()}
        elif measured:
            label = label_of(measured) or "t"
            for row in measured:
                name = row.get(label, "")
                prefix = f"{metric}.{name:g}" if isinstance(name, float | int) else f"{metric}.{name}"
                found |= {f"{prefix}.{key}": row[key] for key in columns_of([row]) if key != label}
    return found


def select_columns(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern, in the order of the patterns.

    Without patterns: all numbers of the models themselves, without baselines, other times, and training.
    """
    names = list(dict.fromkeys(names))
    if patterns:
        return list(dict.fromkeys(name for pattern in patterns for name in names if fnmatchcase(name, pattern)))
    measured = [name for name in names if not name.startswith(TRAINING)]
    return [name for name in measured if name.count(".") == 1 or any(fnmatchcase(name, row) for row in DEFAULT_ROWS)]
