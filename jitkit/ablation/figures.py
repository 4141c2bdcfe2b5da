"""The numbers of one trained model, each under a unique name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from jitkit.ablation.folder import Outcome
from jitkit.documents.rows import columns_of, label_of

TRAINING = "train."  # prefix of numbers that come from training, not from a metric
DEFAULT_ROWS = ("*.model.*", "*.0.5.*")  # rows of the model, or at t = 0.5


def training_figures(outcome: Outcome) -> dict[str, float]:
    """Return the best validation loss and the training time. Losses of different objectives are not comparable."""
    loss = {} if outcome.best_loss is None else {f"{TRAINING}best_loss": outcome.best_loss}
    return {**loss, f"{TRAINING}seconds": outcome.seconds}


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
