"""Charts as inline SVG, coloured by the style sheet of the page, so that they read in dark and in light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 48  # margins that hold the axes' words
NUM_COLOURS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points that belong together, and how they are drawn."""

    name: str
    points: Sequence[Point]
    css: str  # see `colour`; "line" is the dashed line that needs no model
    words: Sequence[str] = ()  # beside each point, where there are any
    joined: bool = True
    dots: bool = True


@dataclass(frozen=True)
class Axis:
    """A direction of the chart, from the first tick to the last."""

    words: str
    ticks: Sequence[float]
    logarithmic: bool = False

    @classmethod
    def over(cls, words: str, values: Sequence[float]) -> Axis:
        """Return an axis with round ticks that holds all `values`."""
        low, high = min(values), max(values)
        step = _round_step((high - low or abs(high) or 1) / 4)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(words, [tick * step for tick in range(first, max(last, first + 1) + 1)])

    def share(self, value: float) -> float:
        """Return how far along the axis a value stands, in [0, 1]."""
        warp = math.log if self.logarithmic else float
        first, last = warp(self.ticks[0]), warp(self.ticks[-1])
        return (warp(value) - first) / (last - first)


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def colour(index: int) -> str:
    """Return the class that colours series number `index`; beyond `NUM_COLOURS` lines are dashed."""
    return f"series-{index % NUM_COLOURS}" + (" again" if index // NUM_COLOURS % 2 else "")


def chart(series: Sequence[Series], x: Axis, y: Axis, label: str) -> Markup:
    """Return an SVG of `series`; `label` is what a screen reader says. A pointer over a dot tells its numbers."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(WIDTH, HEIGHT, label, Markup("\n").join([_axes(x, y), *(_drawn(each, x, y) for each in series)]))


def _drawn(series: Series, x: Axis, y: Axis) -> Markup:
    places = [_place(x.share(across), y.share(up)) for across, up in series.points]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    parts = [Markup('<polyline points="{}"/>').format(path)] if series.joined else []
    words = list(series.words) or [""] * len(places)
    for (across, up), point, beside in zip(places, series.points, words, strict=True):
        if series.dots:
            title = f"{series.name}{', ' + beside if beside else ''}: {point[0]:.4g}, {point[1]:.4g}"
            dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
            parts.append(dot.format(across, up, 2.5 if series.css == "line" else 4, title))
        if beside:
            left = across > WIDTH * 0.72
            text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>')
            parts.append(text.format("before" if left else "after", across + (-8 if left else 8), up + 5, beside))
    return Markup('<g class="{}">{}</g>').format(series.css, Markup("").join(parts))


def _axes(x: Axis, y: Axis) -> Markup:
    parts = []
    for tick in y.ticks:
        _, up = _place(0, y.share(tick))
        line = Markup('<path d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}">{}</text>')
        parts.append(line.format(LEFT, up, WIDTH - RIGHT, LEFT - 8, up + 5, _spelled(tick)))
    for tick in x.ticks:
        across, _ = _place(x.share(tick), 0)
        text = Markup('<text class="below" x="{:.1f}" y="{}">{}</text>')
        parts.append(text.format(across, HEIGHT - BOTTOM + 20, _spelled(tick)))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(Markup('<text class="below" x="{}" y="{}">{}</text>').format(middle, HEIGHT - 6, x.words))
    return Markup('<g class="axes">{}</g>').format(Markup("").join(parts))


def _place(across: float, up: float) -> Point:
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _spelled(tick: float) -> str:
    return f"{tick / 1000:g}k" if abs(tick) >= 10_000 else f"{tick:.6g}"


def _round_step(step: float) -> float:
    """Return the next 1, 2, 2.5 or 5 times a power of ten above `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))
