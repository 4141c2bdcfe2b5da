"""The results of a grid as one picture: a panel a figure, a line a row, a dot at the mean and a bar for the interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jitkit.ablation.table import number
from jitkit.errors import visible

WIDTH, LINE, HEAD, FOOT, MARGIN = 760, 22, 44, 34, 16
LETTER = 7.2  # pixels that a letter takes, at most
INK, PALE, BLUE = "#222222", "#dddddd", "#0072b2"

Row = Mapping[str, Any]


def dot_plot(document: Mapping[str, Any]) -> str:
    """Return an SVG that needs nothing beside it; the panels are the columns of the tables, one below the other.

    A panel has the rows that were measured for its figure; every seed is a small ring. All text is escaped.
    """
    panels, top = [], 0.0
    for name in document["columns"]:
        measured = {row["eval"] for row in document["rows"] if name in row["figures"]}
        rows = [row for row in document["rows"] if row["eval"] in measured]
        panels.append(_panel(name, rows, top))
        top += HEAD + LINE * len(rows) + FOOT
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {:g}" role="img" aria-label="{}"'
            ' font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{}\n</svg>\n'
        ).format(WIDTH, max(top, 1), visible(document["summary"]), Markup("\n").join(panels))
    )


def _panel(name: str, rows: Sequence[Row], top: float) -> Markup:
    labels = [" · ".join(filter(None, (row["cell"], row["at"]))) for row in rows]
    left = min(WIDTH / 2, 2 * MARGIN + LETTER * max(map(len, labels)))
    found = [row["figures"].get(name) for row in rows]
    low, high = _range([figure for figure in found if figure])

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - 2 * MARGIN - left)

    bottom = top + HEAD + LINE * len(rows)
    parts = [_text(left, top + 26, name, "start", weight="bold")]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = across(value := low + share * (high - low))
        parts += [_line(x, top + HEAD - 6, x, bottom, PALE, 1), _text(x, bottom + 18, number(value), "middle")]
    for place, (label, figure) in enumerate(zip(labels, found, strict=True)):
        y = top + HEAD + LINE * (place + 0.5)
        parts.append(_text(left - 10, y + 4, label, "end"))
        parts += _marks(figure, y, across) if figure else []
    return Markup("\n").join(parts)


def _marks(figure: Mapping[str, Any], y: float, across: Any) -> list[Markup]:
    """Return the bar, the seeds and the mean of one figure."""
    bar = [_line(across(figure["low"]), y, across(figure["high"]), y, BLUE, 2)] if "low" in figure else []
    seeds = [
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="none" stroke="{}"/>').format(across(value), y, BLUE)
        for value in figure["values"].values()
    ]
    mean = Markup('<circle class="mean" cx="{:.1f}" cy="{:.1f}" r="5" fill="{}"/>')
    return [*bar, *seeds, mean.format(across(figure["mean"]), y, BLUE)]


def _range(figures: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the ends of an axis that holds every interval and every seed, with some room."""
    ends = [end for figure in figures for end in (figure.get("low"), figure.get("high"), *figure["values"].values())]
    held = [end for end in ends if end is not None] or [0.0]
    low, high = min(held), max(held)
    room = 0.05 * (high - low) or max(abs(high) * 0.05, 1e-3)
    return low - room, high + room


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-weight="{}" fill="{}">{}</text>').format(
        x, y, anchor, weight, INK, visible(text)
    )


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: int) -> Markup:
    return Markup('<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}" stroke="{}" stroke-width="{}"/>').format(
        x, y, to_x, to_y, colour, width
    )
