"""Intervals of shares, clipped because Student's t can exceed 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOT_SHARES = ("loss", "bits", "entropy", "seconds")  # their intervals may exceed 1 even if all values are below 1

Figure = Mapping[str, Any]


def are_shares(name: str, figures: Sequence[Figure | None]) -> bool:
    """Return whether a column holds shares: all its values are in [0, 1], and its name does not mean something else."""
    values = [value for figure in figures if figure for value in figure["values"].values()]
    return not any(word in name for word in NOT_SHARES) and all(0 <= value <= 1 for value in values)


def clipped(name: str, figures: Sequence[Figure | None]) -> list[Figure | None]:
    """Return the figures of a column, with the intervals of shares clipped to [0, 1]."""
    if not are_shares(name, figures):
        return list(figures)
    return [
        {**figure, "low": max(0.0, figure["low"]), "high": min(1.0, figure["high"])}
        if figure and "low" in figure
        else figure
        for figure in figures
    ]


def with_clipped_shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a document, with the intervals of shares clipped to [0, 1]."""
    names = dict.fromkeys(name for row in rows for name in row["figures"])
    columns = {name: clipped(name, [row["figures"].get(name) for row in rows]) for name in names}
    return [
        {**row, "figures": {name: columns[name][index] for name in row["figures"]}} for index, row in enumerate(rows)
    ]
