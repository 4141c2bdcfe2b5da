"""Charts as inline SVG. The page's style sheet sets the colors, for light and dark mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jitkit.report.svg import Axis, Point, circle, element, format_tick, line, svg, text

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 26, 48  # margins for the labels of the axes
LETTER, LINE_HEIGHT = 7, 14  # approximate size of the labels next to points
NUM_COLORS = 6
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

_Box = tuple[float, float, float, float]  # left, right, top, bottom


@dataclass(frozen=True)
class Series:
    """Points that belong together, and how they are drawn."""

    name: str
    points: Sequence[Point]
    css: str  # see `color_class`; "line" is the dashed line of a baseline
    labels: Sequence[str] = ()  # next to each point, if there are any
    joined: bool = True
    dots: bool = True


def color_class(index: int) -> str:
    """Return the CSS class that colors series number `index`; after `NUM_COLORS` lines are dashed."""
    return f"series-{index % NUM_COLORS}" + (" again" if index // NUM_COLORS % 2 else "")


def chart(series: Sequence[Series], x: Axis, y: Axis, label: str) -> Markup:
    """Return an SVG of `series`. `label` is for screen readers; hovering over a dot shows its numbers.

    Labels of points that would overlap another label or a dot are left out. Real text gets its label first, then later
    series before earlier ones.
    """
    taken = [_box(*_place(point, x, y), 4, 4) for each in series if each.dots for point in each.points]
    order = sorted(range(len(series)), key=lambda index: (series[index].css != "real", -index))
    drawn = {index: _series(series[index], x, y, taken) for index in order}
    return svg(WIDTH, HEIGHT, label, [_axes(x, y), *(drawn[index] for index in range(len(series)))])


def _series(series: Series, x: Axis, y: Axis, taken: list[_Box]) -> Markup:
    places = [_place(point, x, y) for point in series.points]
    parts = [line(places)] if series.joined else []
    labels = list(series.labels) or [""] * len(places)
    for place, point, label in zip(places, series.points, labels, strict=True):
        if series.dots:
            title = f"{series.name}{', ' + label if label else ''}: {point[0]:.4g}, {point[1]:.4g}"
            parts.append(circle(*place, 2.5 if series.css == "line" else 4, element("title", title)))
        if label and (found := _free_place(*place, label, taken)):
            anchor, left, bottom = found
            parts.append(text(left, bottom, label, css=anchor))
    return element("g", *parts, css=series.css)


def _free_place(x: float, y: float, label: str, taken: list[_Box]) -> tuple[str, float, float] | None:
    """Reserve a place for a label next to the dot at (x, y); return its anchor and position, or None if there is none."""
    half = len(label) * LETTER / 2
    sides = {"after": (x + 8, x + 8 + half), "before": (x - 8, x - 8 - half)}
    for anchor, (start, middle) in sorted(sides.items(), reverse=x > WIDTH * 0.72):
        for shift in (0, -9, 9):
            box = _box(middle, y + shift, half, LINE_HEIGHT / 2)
            if box[0] >= 0 and box[1] <= WIDTH and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return anchor, start, y + shift + 5
    return None


def _box(x: float, y: float, half_width: float, half_height: float) -> _Box:
    return x - half_width, x + half_width, y - half_height, y + half_height


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _axes(x: Axis, y: Axis) -> Markup:
    parts = []
    for tick in y.ticks:
        height = _height(y.share(tick))
        parts += [line([(LEFT, height), (WIDTH - RIGHT, height)]), text(LEFT - 8, height + 5, format_tick(tick))]
    for tick in x.ticks:
        parts.append(text(_across(x.share(tick)), HEIGHT - BOTTOM + 20, format_tick(tick), css="below"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x.label, css="below"))
    if y.label:
        parts.append(text(4, 14, y.label, css="after"))
    return element("g", *parts, css="axes")


def _place(point: Point, x: Axis, y: Axis) -> Point:
    return _across(x.share(point[0])), _height(y.share(point[1]))


def _across(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
