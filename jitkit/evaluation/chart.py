"""Curves over t as inline SVG, coloured by the style sheet of the page, so that they read in dark and in light."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from jitkit.evaluation.rows import LINE, columns_of

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 48  # margins that hold the axes' words

Point = tuple[float, float]


def curves(rows: Sequence[Mapping[str, float]], label: str) -> Markup:
    """Return an SVG of every column of `rows` against its column `t`, the contextless line dashed.

    `label` is what a screen reader says. The vertical axis runs from 0 to 1, or to the next half above the largest value.
    """
    names = [name for name in columns_of(rows) if name != "t"]
    top = max(1.0, math.ceil(2 * max(row[name] for row in rows for name in names)) / 2)
    parts = [_axes(top)]
    for index, name in enumerate(names):
        parts.append(_curve(name, index, [(row["t"], row[name]) for row in rows], top))
    body = Markup("\n").join(parts)
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(WIDTH, HEIGHT, label, body)


def css_class(name: str, index: int) -> str:
    """Return the class that colours column number `index`."""
    return "line" if name == LINE else f"series-{index % 4}"


def _curve(name: str, index: int, points: Sequence[Point], top: float) -> Markup:
    places = [(_x(t), _y(value, top)) for t, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"><title>{} at t = {:g}: {:.4f}</title></circle>').format(
            x, y, 2.5 if name == LINE else 4, name, t, value
        )
        for (x, y), (t, value) in zip(places, points, strict=True)
    )
    return Markup('<g class="{}"><polyline points="{}"/>{}</g>').format(css_class(name, index), path, dots)


def _axes(top: float) -> Markup:
    lines = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, words = _y(share * top, top), f"{share * top:.2f}"
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/><text x="{LEFT - 8}" y="{y + 5:.1f}">{words}</text>')
        x = _x(share)
        lines.append(f'<text class="below" x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}">{escape(f"{share:g}")}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(f'<text class="below" x="{middle}" y="{HEIGHT - 6}">t (0 is noise, 1 is the clean image)</text>')
    return Markup('<g class="axes">' + "".join(lines) + "</g>")


def _x(t: float) -> float:
    return LEFT + t * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)
