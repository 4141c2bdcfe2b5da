"""The results of a grid as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitkit.errors import visible

MARKED = (
    "`*`: differs from the first cell; the 95 % interval of the difference, seed by seed, holds no zero."
    " Of twenty comparisons where nothing differs, one looks so."
)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the page: what was asked, a table a measurement, and the plot."""
    seeds = document["seeds"]
    over = f"mean over seeds {', '.join(map(str, seeds))}, ± half the interval ({document['interval']})"
    how = over if len(seeds) > 1 else f"seed {seeds[0]} alone, so nothing is known of the spread"
    common = f"; with {', '.join(document['set'])}" if document["set"] else ""
    return (
        f"# {_cell(document['summary'])}\n\n"
        f"`jitkit ablate {document['grid']}`: {_cell(document['manifest'] + common)}; {how}.\n\n"
        f"{tables(document)}\n"
        "![the same as a plot](results.svg)\n"
    )


def tables(document: Mapping[str, Any]) -> str:
    """Return a Markdown table for each measurement, under its name where there are several, and what marks mean."""
    measurements = dict.fromkeys(row["eval"] for row in document["rows"])
    parts = []
    for name in measurements:
        rows = [row for row in document["rows"] if row["eval"] == name]
        heading = f"## {_cell(name)}\n\n" if len(measurements) > 1 else ""
        parts.append(heading + table(rows, document["columns"]))
    figures = [row["figures"].get(name, {}) for row in document["rows"] for name in document["columns"]]
    return "\n".join([*parts, *([f"{MARKED}\n"] if any(map(_differs, figures)) else [])])


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return a Markdown table of rows, with those of the columns that any of them has.

    Cells are padded, so that it also reads as it is.
    """
    found = [name for name in columns if any(name in row["figures"] for row in rows)]
    at = any(row["at"] for row in rows)
    head = ["cell", *(["measured at"] if at else []), "runs", *map(_cell, found)]
    body = [
        [_cell(row["cell"]), *([_cell(row["at"])] if at else []), runs(row), *(_figure(row, name) for name in found)]
        for row in rows
    ]
    return drawn([head, *body], texts=2 + at)


def runs(row: Mapping[str, Any]) -> str:
    """Return how the runs of a row ended, in words."""
    ends = list(row["seeds"].values())
    counts = [(ends.count(end), end) for end in ("trained", "diverged", "waiting")]
    if counts[0][0] == len(ends):
        return str(len(ends))
    return ", ".join(f"{count} {end}" for count, end in counts if count)


def number(value: float) -> str:
    """Return a figure with as many digits as a table needs."""
    size = abs(value)
    return f"{value:.3f}" if size < 100 else f"{value:.1f}" if size < 10_000 else f"{value:.4g}"


def _figure(row: Mapping[str, Any], name: str) -> str:
    figure = row["figures"].get(name)
    if figure is None:
        return "-"
    half = f" ± {number((figure['high'] - figure['low']) / 2)}" if "low" in figure else ""
    return number(figure["mean"]) + half + (" *" if _differs(figure) else "")


def _differs(figure: Mapping[str, Any]) -> bool:
    """Tell whether zero is outside of the interval of the difference from the first cell."""
    difference = figure.get("difference", {})
    return "low" in difference and not difference["low"] <= 0 <= difference["high"]


def drawn(lines: Sequence[Sequence[str]], texts: int) -> str:
    """Return lines of cells as Markdown, the first `texts` columns ranged left, the numbers right."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [cell.ljust(width) if place < texts else cell.rjust(width) for place, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    rule = ["-" * width if place < texts else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [padded[0], rule, *padded[1:]])


def _cell(text: str) -> str:
    """Return a text that can break neither a table nor a page, whatever a grid calls its cells."""
    for sign in "\\|<>`[]*":
        text = text.replace(sign, f"\\{sign}")
    return visible(text)
