"""Charts as inline SVG, coloured by the style sheet of the page, so that they read in dark and in light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 26, 48  # margins that hold the axes' words
LETTER, LINE_HEIGHT = 7, 14  # of the words beside points, about
NUM_COLOURS = 6

Point = tuple[float, float]
_Box = tuple[float, float, float, float]  # left, right, top, bottom


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
    """Return an SVG of `series`; `label` is what a screen reader says. A pointer over a dot tells its numbers.

    Words that would stand on others, or on a dot, are left out; real text has the first choice of place, then later series.
    """
    taken = [
        _box(*_place(x.share(across), y.share(up)), 4, 4) for each in series if each.dots for across, up in each.points
    ]
    order = sorted(range(len(series)), key=lambda place: (series[place].css != "real", -place))
    drawn = {place: _drawn(series[place], x, y, taken) for place in order}
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>'
    ).format(WIDTH, HEIGHT, label, Markup("\n").join([_axes(x, y), *(drawn[place] for place in range(len(series)))]))


def _drawn(series: Series, x: Axis, y: Axis, taken: list[_Box]) -> Markup:
    places = [_place(x.share(across), y.share(up)) for across, up in series.points]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    parts = [Markup('<polyline points="{}"/>').format(path)] if series.joined else []
    words = list(series.words) or [""] * len(places)
    for (across, up), point, beside in zip(places, series.points, words, strict=True):
        if series.dots:
            title = f"{series.name}{', ' + beside if beside else ''}: {point[0]:.4g}, {point[1]:.4g}"
            dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
            parts.append(dot.format(across, up, 2.5 if series.css == "line" else 4, title))
        if beside and (found := _free(across, up, beside, taken)):
            anchor, start, height = found
            text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>')
            parts.append(text.format(anchor, start, height, beside))
    return Markup('<g class="{}">{}</g>').format(series.css, Markup("").join(parts))


def _free(across: float, up: float, words: str, taken: list[_Box]) -> tuple[str, float, float] | None:
    """Return anchor and place of `words` beside a dot, where nothing is, and take it; None where there is no such place."""
    half = len(words) * LETTER / 2
    sides = {"after": (across + 8, across + 8 + half), "before": (across - 8, across - 8 - half)}
    for anchor, (start, middle) in sorted(sides.items(), reverse=across > WIDTH * 0.72):
        for lower in (0, -9, 9):
            box = _box(middle, up + lower, half, LINE_HEIGHT / 2)
            if box[0] >= 0 and box[1] <= WIDTH and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return anchor, start, up + lower + 5
    return None


def _box(across: float, up: float, half_width: float, half_height: float) -> _Box:
    return across - half_width, across + half_width, up - half_height, up + half_height


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


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
    if y.words:
        parts.append(Markup('<text class="after" x="4" y="14">{}</text>').format(y.words))
    return Markup('<g class="axes">{}</g>').format(Markup("").join(parts))


def _place(across: float, up: float) -> Point:
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _spelled(tick: float) -> str:
    return f"{tick / 1000:g}k" if abs(tick) >= 10_000 else f"{tick:.6g}"


def _round_step(step: float) -> float:
    """Return the next 1, 2, 2.5 or 5 times a power of ten above `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))
