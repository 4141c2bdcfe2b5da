"""Plots as inline SVG that fill the width of a page while their text keeps its size.

Positions are percentages of the plot, so that only lines are stretched. The page's style sheet sets sizes and colors, for
light and dark mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from jitkit.report.svg import Axis, Point, element, format_tick, line

LEFT, RIGHT, TOP, BOTTOM = 54, 22, 26, 48  # pixels around the plot for the labels of the axes, as in the style sheet
HEIGHT = 214  # of the plot in pixels, as in the style sheet
WIDTHS = (250, 330, 450, 560, 640)  # of a plot in pixels, from a phone to a desktop
LETTER, LINE_HEIGHT = 7, 14  # approximate size of the labels next to points
TICK_LETTER, TICK_GAP = 8, 10
SHIFTS = (0.0, -9.0, 9.0, -16.0, 16.0)
AFTER, BEFORE = ([(anchor, dx, dy) for dy in SHIFTS] for anchor, dx in (("after", 8.0), ("before", -8.0)))
MIDDLE = [("below", 0.0, -15.0), ("below", 0.0, 15.0)]
CANDIDATES, CANDIDATES_ON_THE_RIGHT = [*AFTER, *BEFORE, *MIDDLE], [*BEFORE, *AFTER, *MIDDLE]
STRETCHED = 1000  # units of a line's coordinates across the plot
NUM_COLORS = 6

Box = tuple[float, float, float, float]  # left, right, top, bottom
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Series:
    """Points that belong together, and how they are drawn."""

    name: str
    points: Sequence[Point]
    css: str  # see `color_class`; "line" is the dashed line of a baseline
    labels: Sequence[str] = ()  # next to each point, if there are any
    joined: bool = True
    dots: bool = True
    across: Sequence[Interval] = ()  # the horizontal interval of each point, if there are any
    along: Sequence[Interval] = ()  # the vertical one

    def values(self, direction: int) -> Iterator[float]:
        """Yield what an axis must contain: the coordinates in a direction (0: x, 1: y), and the ends of intervals."""
        yield from (point[direction] for point in self.points)
        for interval in (self.across, self.along)[direction]:
            yield from interval or ()


Figure = tuple[Markup, Sequence[Series]]
"""A plot, and the series in its legend."""


def color_class(index: int) -> str:
    """Return the CSS class that colors series number `index`; after `NUM_COLORS` lines are dashed."""
    return f"series-{index % NUM_COLORS}" + (" again" if index // NUM_COLORS % 2 else "")


def plot(series: Sequence[Series], x: Axis, y: Axis, title: str) -> Markup:
    """Return an SVG of `series`. `title` is for screen readers; hovering over a dot shows its numbers.

    Labels of points that would cover a label, a dot, or a line at any width of the page are left out. Real text gets its
    label first, then later series before earlier ones.
    """
    taken = [list(_obstacles(series, x, y, width)) for width in WIDTHS]
    order = sorted(range(len(series)), key=lambda index: (series[index].css != "real", -index))
    drawn = {index: _series(series[index], x, y, taken) for index in order}
    parts = [_axes(x, y), *(drawn[index] for index in range(len(series)))]
    xmlns = "http://www.w3.org/2000/svg"
    return element("svg", *parts, css="plot", xmlns=xmlns, role="img", aria_label=title)


def _series(series: Series, x: Axis, y: Axis, taken: list[list[Box]]) -> Markup:
    places = [(x.share(point[0]), 1 - y.share(point[1])) for point in series.points]
    parts = [_lines(series, places, x, y)]
    for index, (place, word) in enumerate(zip(places, series.labels or [""] * len(places), strict=True)):
        if series.dots:
            at = {"cx": _percent(place[0]), "cy": _percent(place[1]), "r": "2.5" if series.css == "line" else "4"}
            parts.append(element("circle", element("title", _tooltip(series, index, word)), **at))
        if word and (found := _free_place(place, word, taken)):
            anchor, dx, dy = found
            parts.append(_text(place, word, dx, dy, css=anchor))
    return element("g", *parts, css=series.css)


def _lines(series: Series, places: Sequence[Point], x: Axis, y: Axis) -> Markup:
    """Return the line through the points and their intervals, stretched to the plot."""
    drawn = [line(map(_stretched, places))] if series.joined else []
    for place, interval in zip(places, series.along, strict=False):
        if interval:
            ends = [(place[0], 1 - y.share(value)) for value in interval]
            drawn.append(line(map(_stretched, ends), css="interval"))
    for place, interval in zip(places, series.across, strict=False):
        if interval:
            ends = [(x.share(value), place[1]) for value in interval]
            drawn.append(line(map(_stretched, ends), css="interval"))
    return element("svg", *drawn, viewBox=f"0 0 {STRETCHED} {STRETCHED}", preserveAspectRatio="none", css="lines")


def _tooltip(series: Series, index: int, word: str) -> str:
    numbers = []
    for value, intervals in zip(series.points[index], (series.across, series.along), strict=True):
        interval = intervals[index] if intervals else None
        numbers.append(f"{value:.4g}" + (f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else ""))
    return f"{series.name}{', ' + word if word else ''}: {', '.join(numbers)}"


def _axes(x: Axis, y: Axis) -> Markup:
    parts = []
    for tick in y.ticks:
        height = _percent(1 - y.share(tick))
        parts.append(element("line", x1="0", x2="100%", y1=height, y2=height))
        parts.append(_text((0, 1 - y.share(tick)), format_tick(tick), -8, 5))
    for tick in _readable(x):
        parts.append(_text((x.share(tick), 1), format_tick(tick), 0, 20, css="below"))
    parts.append(_text((0.5, 1), x.label, 0, 42, css="below"))
    if y.label:
        parts.append(_text((0, 0), y.label, 4 - LEFT, -12, css="title"))
    return element("g", *parts, css="axes")


def _readable(x: Axis) -> Sequence[float]:
    """Return the ticks of a horizontal axis, or every second one, third one, ... if they would touch on a phone."""
    for step in range(1, len(x.ticks)):
        ticks = x.ticks[::step]
        places = [(WIDTHS[0] * x.share(tick), len(format_tick(tick)) * TICK_LETTER / 2) for tick in ticks]
        pairs = pairwise(places)
        if all(right - left >= half + other + TICK_GAP for (left, half), (right, other) in pairs):
            return ticks
    return x.ticks[:1]


def _text(place: Point, words: str, dx: float, dy: float, css: str = "before") -> Markup:
    at = {"x": _percent(place[0]), "y": _percent(place[1]), "dx": f"{dx:g}", "dy": f"{dy:g}"}
    return element("text", words, css=css, **at)


def _free_place(place: Point, word: str, taken: list[list[Box]]) -> tuple[str, float, float] | None:
    """Reserve a place for a label next to a dot; return its anchor and its offset, or None if there is none."""
    width = len(word) * LETTER
    for anchor, dx, dy in CANDIDATES if place[0] < 0.65 else CANDIDATES_ON_THE_RIGHT:
        left = dx - {"after": 0.0, "below": width / 2, "before": width}[anchor]
        boxes = []
        for plot_width in WIDTHS:
            start, middle = place[0] * plot_width + left, place[1] * HEIGHT + dy
            boxes.append((start, start + width, middle - LINE_HEIGHT / 2, middle + LINE_HEIGHT / 2))
        if all(map(_is_free, boxes, WIDTHS, taken)):
            for box, others in zip(boxes, taken, strict=True):
                others.append(box)
            return anchor, dx, dy + 4
    return None


def _is_free(box: Box, width: float, taken: Sequence[Box]) -> bool:
    inside = box[0] >= 0 and box[1] <= width + RIGHT and box[2] >= -TOP / 2 and box[3] <= HEIGHT
    return inside and not any(_overlap(box, other) for other in taken)


def _obstacles(series: Sequence[Series], x: Axis, y: Axis, width: float) -> Iterator[Box]:
    """Yield boxes around the dots and along the lines in a plot of a width."""
    for each in series:
        places = [(width * x.share(px), HEIGHT * (1 - y.share(py))) for px, py in each.points]
        if each.dots:
            yield from (_box(*place, 5) for place in places)
        if each.joined and each.labels:
            for (x0, y0), (x1, y1) in pairwise(places):
                num = int(max(abs(x1 - x0), abs(y1 - y0)) / 6) + 1
                yield from (_box(x0 + (x1 - x0) * i / num, y0 + (y1 - y0) * i / num, 2) for i in range(num))


def _box(x: float, y: float, half: float) -> Box:
    return x - half, x + half, y - half, y + half


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _stretched(place: Point) -> Point:
    return STRETCHED * place[0], STRETCHED * place[1]
