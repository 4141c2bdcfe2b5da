"""The results of a grid as an SVG: a panel per figure, a line per row, with mean, interval, and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jitkit.ablation.shares import are_shares, clipped
from jitkit.errors import visible
from jitkit.report.svg import SHARES, Axis, circle, element, format_tick, line, svg, text

WIDTH, ROW, HEAD, FOOT, MARGIN = 760, 22, 44, 34, 24
LETTER, MAX_LABEL = 7, 40  # approximate width of a letter in pixels; letters in a label
PALE, BLUE = "#dddddd", "#0072b2"

Row = Mapping[str, Any]


def dot_plot(document: Mapping[str, Any]) -> str:
    """Return a self-contained SVG with a panel per column. A dot marks the mean, a bar the interval, rings the seeds."""
    panels, top = [], 0
    for name in document["columns"]:
        evaluated = {row["eval"] for row in document["rows"] if name in row["figures"]}
        rows = [row for row in document["rows"] if row["eval"] in evaluated]
        panels.append(_panel(name, rows, top))
        top += HEAD + ROW * len(rows) + FOOT
    background = element("rect", width="100%", height="100%", fill="#ffffff")
    parts, summary = [background, *panels], visible(document["summary"])
    return f"{svg(WIDTH, max(top, 1), summary, parts, font_family='sans-serif', font_size=13, fill='#222222')}\n"


def _panel(name: str, rows: Sequence[Row], top: float) -> Markup:
    labels = [_label(row) for row in rows]
    figures = clipped(name, [row["figures"].get(name) for row in rows])
    axis = _axis(name, figures)
    left, bottom = 2 * MARGIN + LETTER * max(map(len, labels)), top + HEAD + ROW * len(rows)

    def place(value: float) -> float:
        return left + axis.share(value) * (WIDTH - MARGIN - left)

    parts = [text(left, top + 26, visible(name), font_weight="bold")]
    for x, tick in ((place(tick), tick) for tick in axis.ticks):
        parts.append(line([(x, top + HEAD - 6), (x, bottom)], stroke=PALE))
        parts.append(text(x, bottom + 18, format_tick(tick), text_anchor="middle"))
    for index, (label, figure) in enumerate(zip(labels, figures, strict=True)):
        y = top + HEAD + ROW * (index + 0.5)
        parts.append(text(left - 12, y + 4, label, text_anchor="end"))
        parts += _marks(figure, y, place) if figure else []
    return Markup("\n").join(parts)


def _marks(figure: Row, y: float, place: Callable[[float], float]) -> list[Markup]:
    bar = [(place(figure[end]), y) for end in ("low", "high") if end in figure]
    rings = [circle(place(value), y, 3, fill="none", stroke=BLUE) for value in figure["values"].values()]
    mean = circle(place(figure["mean"]), y, 5, css="mean", fill=BLUE)
    return [*([line(bar, stroke=BLUE, stroke_width=2)] if bar else []), *rings, mean]


def _label(row: Row) -> str:
    label = visible(" · ".join(filter(None, (row["cell"], row["at"]))))
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"


def _axis(name: str, figures: Sequence[Row | None]) -> Axis:
    """Return an axis that covers all drawn values; an axis of shares ends at 0 and 1."""
    axis = Axis.over(name, [value for figure in figures if figure for value in _drawn_values(figure)])
    beyond = axis.ticks[0] < 0 or axis.ticks[-1] > 1
    return Axis(name, SHARES) if beyond and are_shares(name, figures) else axis


def _drawn_values(figure: Row) -> list[float]:
    return [*figure["values"].values(), *(figure[end] for end in ("low", "high") if end in figure)]
