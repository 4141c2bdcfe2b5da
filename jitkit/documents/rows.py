"""Rows of named numbers: labels, intervals, marks, and how the numbers are formatted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Row = Mapping[str, float | str]
"""Named numbers. A string value labels the row. A number that could not be measured is left out.

`x_low` and `x_high` are the bounds of the 95 % interval of `x`; reports show them next to it.
"""

Measurement = Mapping[str, float] | Sequence[Row]
"""Named numbers, or rows of them: one row for each time `t`, or for each text or model in the comparison."""

BASELINE = "contextless"  # the column of the context-free baseline
MODEL_COLUMNS = ("one_step", "sampled")  # token accuracies of a model, which should exceed the baseline
OTHER_MODEL_COLUMNS = ("filled", "steps_1", "steps_2", "steps_4", "steps_8")  # likewise
MODEL, HELD_OUT = "model", "held-out"  # labels of the rows for generated and for real text
LOW, HIGH = "_low", "_high"  # suffixes of an interval's bounds
FEW_WINDOWS = 32  # a loss of fewer windows shows little about a model


def label_of(rows: Sequence[Row]) -> str | None:
    """Return the key of the rows' labels, or None if the rows hold numbers only."""
    return next((key for key, value in rows[0].items() if isinstance(value, str)), None)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the keys of the numbers in any row, without the bounds of intervals."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, str))
    return [key for key in keys if not any(key.removesuffix(end) in keys and key.endswith(end) for end in (LOW, HIGH))]


def interval_of(row: Row, key: str) -> tuple[float, float] | None:
    """Return the interval of `row[key]`, or None if it has none."""
    bounds = [row[key + end] for end in (LOW, HIGH) if key + end in row]
    return (float(bounds[0]), float(bounds[1])) if len(bounds) == 2 else None


def format_value(value: float) -> str:
    """Return a number without an interval: counts in full, others with three or four digits."""
    if value > 1 and value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 1 else _fixed(value, value)


def format_interval(value: float, low: float, high: float) -> str:
    """Return a number and its interval: "2.500 [2.250, 2.750]". Half the width would suggest shares below 0 or above 1."""
    return f"{_fixed(value, value)} [{_fixed(low, value)}, {_fixed(high, value)}]"


def format_cell(row: Row, key: str) -> str:
    """Return `row[key]` for a table, with its interval if it has one; "-" if it was not measured."""
    if key not in row:
        return "-"
    value = float(row[key])
    if interval := interval_of(row, key):
        return format_interval(value, *interval)
    return f"{value:g}" if key == "t" else format_value(value)


def misses_baseline(row: Row, key: str) -> bool:
    """Return whether `row[key]` is a model's accuracy below 1 that does not exceed the context-free baseline."""
    if key not in MODEL_COLUMNS + OTHER_MODEL_COLUMNS or BASELINE not in row:
        return False
    return float(row[key]) < 1 and float(row[key]) <= float(row[BASELINE])


def differs_from_real(row: Row, rows: Sequence[Row], key: str) -> bool:
    """Return whether the interval of `row[key]` does not overlap that of held-out text, which is one of the `rows`."""
    real = next((each for each in rows if HELD_OUT in each.values()), None)
    found, expected = interval_of(row, key), interval_of(real, key) if real else None
    return found is not None and expected is not None and not intervals_overlap([found, expected])


def intervals_overlap(intervals: Sequence[tuple[float, float]]) -> bool:
    """Return whether the intervals, at least one, have a common point."""
    return max(low for low, _ in intervals) <= min(high for _, high in intervals)


def largest_gain(rows: Sequence[Row]) -> tuple[Row, str] | None:
    """Return the row and the key of the largest gain over the context-free baseline; None if there is no gain."""
    cells = [(row, key) for row in rows for key in MODEL_COLUMNS if key in row and BASELINE in row]
    gains = [float(row[key]) - float(row[BASELINE]) for row, key in cells]
    return cells[gains.index(max(gains))] if gains and max(gains) > 0 else None


def _fixed(value: float, scale: float) -> str:
    """Return `value` with the digits that a number of the size of `scale` deserves."""
    size = abs(scale)
    return f"{value:.3f}" if size < 100 else f"{value:.1f}" if size < 10_000 else f"{value:.4g}"
