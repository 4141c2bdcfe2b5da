"""Reading the rows of a report: what they are of, their intervals, whether they beat the contextless line or are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Row = Mapping[str, float | str]
"""Named numbers. A string value labels the row. A number that could not be measured is left out.

`x_low` and `x_high` are the bounds of the 95 % interval of `x`; reports show them next to it.
"""

Measurement = Mapping[str, float] | Sequence[Row]
"""Named numbers, or rows of them: one per time `t`, or one per text or model in the comparison."""

LINE = "contextless"
MODEL_COLUMNS = ("one_step", "sampled")  # what a model makes of z; each must beat the line
OTHER_MODEL_COLUMNS = ("filled", "steps_1", "steps_2", "steps_4", "steps_8")  # so must these
REAL = "held-out"  # the row of real text, beside which rows of other texts stand
LOW, HIGH = "_low", "_high"  # ends of the names of an interval's bounds


def label_of(rows: Sequence[Row]) -> str | None:
    """Return the key whose texts say what each of the rows is of; None for rows of numbers alone."""
    return next((key for key, value in rows[0].items() if isinstance(value, str)), None)


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the keys of the numbers in any of the rows, without those that are bounds of others."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, str))
    return [key for key in keys if not any(key.removesuffix(end) in keys and key.endswith(end) for end in (LOW, HIGH))]


def interval_of(row: Row, key: str) -> tuple[float, float] | None:
    """Return the interval of `row[key]`; None where it has none."""
    bounds = [row[key + end] for end in (LOW, HIGH) if key + end in row]
    return (float(bounds[0]), float(bounds[1])) if len(bounds) == 2 else None


def with_half_width(value: float, interval: tuple[float, float]) -> str:
    """Return a figure as people read it: the number and half the width of its interval."""
    return f"{value:.3f} ±{(interval[1] - interval[0]) / 2:.3f}"


def misses_line(row: Row, key: str) -> bool:
    """Tell whether `row[key]` is a model's reading that is not above the contextless line (at 1, the line can only be met)."""
    return (
        key in MODEL_COLUMNS + OTHER_MODEL_COLUMNS
        and LINE in row
        and _number(row, key) <= _number(row, LINE)
        and _number(row, key) < 1
    )


def unlike_real(row: Row, rows: Sequence[Row], key: str) -> bool:
    """Tell whether the intervals of `row[key]` and of real text, one of the `rows`, have nothing in common."""
    real = next((each for each in rows if REAL in each.values()), None)
    found, expected = interval_of(row, key), interval_of(real, key) if real else None
    return found is not None and expected is not None and (found[0] > expected[1] or found[1] < expected[0])


def largest_gain(rows: Sequence[Row]) -> tuple[Row, str] | None:
    """Return the row and the reading that are farthest above the contextless line; None where nothing is above it."""
    gains = [
        (_number(row, key) - _number(row, LINE), row, key)
        for row in rows
        for key in MODEL_COLUMNS
        if key in row and LINE in row
    ]
    best = max(gains, key=lambda gain: gain[0], default=None)
    return (best[1], best[2]) if best and best[0] > 0 else None


def _number(row: Row, key: str) -> float:
    return float(row[key])
