"""Reading the rows of a report: what stands beside the contextless line, and does it beat it?"""

from __future__ import annotations

from collections.abc import Mapping

LINE = "contextless"
READINGS = ("one_step", "sampled")  # what a model makes of z; each must beat the line


def misses_line(row: Mapping[str, float], key: str) -> bool:
    """Tell whether `row[key]` is a model's reading that is not above the contextless line (at 1, the line can only be met)."""
    return key in READINGS and LINE in row and row[key] <= row[LINE] and row[key] < 1


def largest_gain(rows: list[dict[str, float]]) -> tuple[dict[str, float], str] | None:
    """Return the row and the reading that are farthest above the contextless line; None where nothing is above it."""
    gains = [(row[key] - row[LINE], row, key) for row in rows for key in READINGS if key in row and LINE in row]
    best = max(gains, key=lambda gain: gain[0], default=None)
    return (best[1], best[2]) if best and best[0] > 0 else None
