"""The results of a grid as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jitkit.documents.rows import format_interval, format_value
from jitkit.errors import visible

MARKED = (
    "`*`: differs from the first cell; the 95 % interval of the difference, paired by seed, excludes zero."
    " By chance, so does one in twenty comparisons without a difference."
)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the page: the question, a table per evaluation, and the plot."""
    seeds = document["seeds"]
    mean = f"mean over seeds {', '.join(map(str, seeds))}, in brackets the interval ({document['interval']})"
    how = mean if len(seeds) > 1 else f"seed {seeds[0]} only, so the spread is unknown"
    common = f"; with {', '.join(document['set'])}" if document["set"] else ""
    return (
        f"# {_escaped(document['summary'])}\n\n"
        f"`jitkit ablate {document['grid']}`: {_escaped(document['manifest'] + common)}; {how}.\n\n"
        f"{tables(document)}\n"
        "![the results as a plot](results.svg)\n"
    )


def tables(document: Mapping[str, Any]) -> str:
    """Return a table per evaluation, under its name if there are several, and the meaning of the marks."""
    names = list(dict.fromkeys(row["eval"] for row in document["rows"]))
    parts = []
    for name in names:
        heading = f"## {_escaped(name)}\n\n" if len(names) > 1 else ""
        parts.append(heading + _table([row for row in document["rows"] if row["eval"] == name], document["columns"]))
    figures = [row["figures"].get(name, {}) for row in document["rows"] for name in document["columns"]]
    return "\n".join([*parts, *([f"{MARKED}\n"] if any(map(_differs, figures)) else [])])


def markdown_table(lines: Sequence[Sequence[str]], text_columns: int) -> str:
    """Return a Markdown table with padded cells and a header. Columns after the first `text_columns` align right."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [cell.ljust(width) if index < text_columns else cell.rjust(width) for index, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    rule = ["-" * width if index < text_columns else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [padded[0], rule, *padded[1:]])


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the table of one evaluation, without empty columns."""
    names = [name for name in columns if any(name in row["figures"] for row in rows)]
    at = ["at"] if any(row["at"] for row in rows) else []
    head = ["cell", *(["evaluated at"] if at else []), "runs", *map(_escaped, names)]
    body = [
        [*(_escaped(row[key]) for key in ("cell", *at)), _outcomes(row), *(_figure(row, name) for name in names)]
        for row in rows
    ]
    return markdown_table([head, *body], text_columns=2 + len(at))


def _outcomes(row: Mapping[str, Any]) -> str:
    """Return the number of runs, by outcome unless all are trained."""
    counts = Counter(row["seeds"].values())
    if set(counts) == {"trained"}:
        return str(counts["trained"])
    return ", ".join(
        f"{counts[outcome]} {outcome}" for outcome in ("trained", "diverged", "waiting") if counts[outcome]
    )


def _figure(row: Mapping[str, Any], name: str) -> str:
    figure = row["figures"].get(name)
    if figure is None:
        return "-"
    mean = figure["mean"]
    value = format_interval(mean, figure["low"], figure["high"]) if "low" in figure else format_value(mean)
    return value + (" *" if _differs(figure) else "")


def _differs(figure: Mapping[str, Any]) -> bool:
    """Return whether the interval of the difference from the first cell excludes zero."""
    difference = figure.get("difference", {})
    return "low" in difference and not difference["low"] <= 0 <= difference["high"]


def _escaped(text: str) -> str:
    """Return arbitrary text, such as the name of a cell, without Markdown syntax and control characters."""
    for character in "\\|<>`[]*":
        text = text.replace(character, f"\\{character}")
    return visible(text)
