"""The figures of one trained model, each under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from jitkit.ablation.record import Outcome
from jitkit.documents.rows import columns_of, label_of

TRAINING = "train"  # in place of a metric's name
OF_THE_MODEL = ("*.model.*", "*.0.5.*")  # among the rows of a metric: those of the model, or at t = 0.5


def training_figures(outcome: Outcome) -> dict[str, float]:
    """Return what training itself says. A loss belongs to an objective: between two objectives it compares nothing."""
    loss = {} if outcome.best_loss is None else {f"{TRAINING}.best_loss": outcome.best_loss}
    return {**loss, f"{TRAINING}.seconds": outcome.seconds}


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an evaluation as METRIC.KEY, or METRIC.ROW.KEY where the metric has rows.

    A row is called by its text ("generation.model.entropy") or its t ("token_recovery.0.5.one_step").
    """
    found: dict[str, float] = {}
    for metric in report["about"]:
        measured = report[metric]
        if isinstance(measured, Mapping):
            found |= {f"{metric}.{key}": value for key, value in measured.items()}
        elif measured:
            label = label_of(measured) or "t"
            for row in measured:
                of = row.get(label, "")
                name = f"{of:g}" if isinstance(of, float | int) else str(of)
                found |= {f"{metric}.{name}.{key}": row[key] for key in columns_of([row]) if key != label}
    return found


def chosen(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern, in the order of the patterns.

    Without patterns: all that was measured of the models themselves, neither controls nor other times nor training.
    """
    names = list(dict.fromkeys(names))
    if patterns:
        return list(dict.fromkeys(name for pattern in patterns for name in names if fnmatchcase(name, pattern)))
    measured = [name for name in names if not name.startswith(f"{TRAINING}.")]
    return [name for name in measured if name.count(".") == 1 or any(fnmatchcase(name, of) for of in OF_THE_MODEL)]
