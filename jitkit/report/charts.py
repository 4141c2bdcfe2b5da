"""Charts of the pages as inline SVG. The page's style sheet sets the colors, for light and dark mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from markupsafe import Markup

from jitkit.documents.document import Rows
from jitkit.documents.rows import BASELINE, HELD_OUT, columns_of
from jitkit.documents.schemas import CodecFacts, Frontier
from jitkit.report.page import FRONTIER_X, FRONTIER_Y, label
from jitkit.report.svg import Axis, Point, circle, element, format_tick, line, svg, text

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 26, 48  # margins for the labels of the axes
LETTER, LINE_HEIGHT = 7, 14  # approximate size of the labels next to points
NUM_COLORS = 6
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MAX_POINTS = 200  # of a loss curve; longer ones are averaged
T_LABEL = "t (0 is noise, 1 is the clean image)"

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


Figure = tuple[Markup, Sequence[Series]]
"""A chart, and the series in its legend."""


def color_class(index: int) -> str:
    """Return the CSS class that colors series number `index`; after `NUM_COLORS` lines are dashed."""
    return f"series-{index % NUM_COLORS}" + (" again" if index // NUM_COLORS % 2 else "")


def chart(series: Sequence[Series], x: Axis, y: Axis, title: str) -> Markup:
    """Return an SVG of `series`. `title` is for screen readers; hovering over a dot shows its numbers.

    Labels of points that would overlap another label or a dot are left out. Real text gets its label first, then later
    series before earlier ones.
    """
    taken = [_box(*_at(point, x, y), 4, 4) for each in series if each.dots for point in each.points]
    order = sorted(range(len(series)), key=lambda index: (series[index].css != "real", -index))
    drawn = {index: _series(series[index], x, y, taken) for index in order}
    return svg(WIDTH, HEIGHT, title, [_axes(x, y), *(drawn[index] for index in range(len(series)))])


def _series(series: Series, x: Axis, y: Axis, taken: list[_Box]) -> Markup:
    places = [_at(point, x, y) for point in series.points]
    parts = [line(places)] if series.joined else []
    for place, point, word in zip(places, series.points, series.labels or [""] * len(places), strict=True):
        if series.dots:
            title = f"{series.name}{', ' + word if word else ''}: {point[0]:.4g}, {point[1]:.4g}"
            parts.append(circle(*place, 2.5 if series.css == "line" else 4, element("title", title)))
        if word and (found := _free_place(*place, word, taken)):
            anchor, left, bottom = found
            parts.append(text(left, bottom, word, css=anchor))
    return element("g", *parts, css=series.css)


def _free_place(x: float, y: float, word: str, taken: list[_Box]) -> tuple[str, float, float] | None:
    """Reserve a place for a label next to the dot at (x, y); return its anchor and position, or None if there is none."""
    half = len(word) * LETTER / 2
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


def _at(point: Point, x: Axis, y: Axis) -> Point:
    return _across(x.share(point[0])), _height(y.share(point[1]))


def _across(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _height(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def over_t(rows: Rows, title: str) -> Figure:
    """Return a chart of every column of `rows` against its column `t`; the context-free baseline is dashed."""
    names = [name for name in columns_of(rows) if name != "t"]
    colors = ["line" if name == BASELINE else color_class(index) for index, name in enumerate(names)]
    return _against_t(
        [Series(label(name), _over_t(rows, name), css) for name, css in zip(names, colors, strict=True)], title
    )


def compared(runs: Mapping[str, Rows], key: str, title: str) -> Figure:
    """Return a chart of column `key` against `t` for several runs, and the context-free baseline of the first run."""
    series = [Series(run, _over_t(rows, key), color_class(index)) for index, (run, rows) in enumerate(runs.items())]
    baseline = _over_t(next(iter(runs.values())), BASELINE)
    return _against_t(series + ([Series(label(BASELINE), baseline, "line")] if baseline else []), title)


def losses(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure | None:
    """Return a chart of the losses of runs, by name, against the step; None if there are fewer than two steps.

    A single run also shows its training loss, averaged.
    """
    series = []
    single = len(logs) == 1
    for index, (name, lines) in enumerate(logs.items()):
        validated = [(line["step"], line["validation_loss"]) for line in lines if "validation_loss" in line]
        trained = _averaged([(line["step"], line["loss"]) for line in lines if "loss" in line])
        if len(trained) > 1 and single:
            series.append(Series("training, averaged", trained, "quiet", dots=False))
        if validated:
            title = "validation" if single else name
            series.append(Series(title, validated, color_class(index), joined=len(validated) > 1))
    points = [point for each in series for point in each.points]
    if len({step for step, _ in points}) < 2:
        return None
    x, y = Axis.over("optimizer steps", [0, *(p[0] for p in points)]), Axis.over("loss", [p[1] for p in points])
    return chart(series, x, y, "loss against optimizer steps"), series


def margin(codec: CodecFacts) -> Figure:
    """Return a chart of token accuracy against noise, and a line where the codec's margin ends."""
    points = [(row["sigma"], row["accuracy"]) for row in codec.noise]
    numbers = 3 * codec.pixels_per_token
    safe = min(max(codec.margin / numbers**0.5, points[0][0]), points[-1][0])
    series = [
        Series("tokens decoded correctly, without a model", points, color_class(0)),
        Series("noise of the size of the margin", [(safe, 0), (safe, 1)], "line", dots=False),
    ]
    x = Axis("sigma of the noise (colors range from -1 to 1)", (0.001, 0.01, 0.1, 1, 10), logarithmic=True)
    return chart(series, x, Axis("", SHARES), "tokens decoded correctly under noise"), series


def frontier(documents: Mapping[str, Frontier]) -> Figure | None:
    """Return a chart of each model's n-gram score against entropy; real text and baselines are single dots."""
    series: list[Series] = []
    for name, document in documents.items():
        axis = next(iter(document.axes), "")
        for others, points in _by_other_settings(document, axis).items():
            title = ", ".join(part for part in (name if len(documents) > 1 else "", others) if part)
            values = [str(value) for value, _ in points]
            series.append(Series(title or name, [place for _, place in points], color_class(len(series)), values))
    legend = list(series)
    for document in islice(documents.values(), 1):
        for row in document.marks:
            name = str(row["text"])
            if place := _place(row):
                series.append(Series(name, [place], "real" if name == HELD_OUT else "reference", [name], joined=False))
    places = [point for each in series for point in each.points]
    if not places:
        return None
    x, y = Axis.over(label(FRONTIER_X), [x for x, _ in places]), Axis.over(label(FRONTIER_Y), [y for _, y in places])
    return chart(series, x, y, f"{y.label} against {x.label}"), legend


def _over_t(rows: Rows, key: str) -> list[Point]:
    return [(float(row["t"]), float(row[key])) for row in rows if key in row]


def _against_t(series: Sequence[Series], title: str) -> Figure:
    """Return a chart whose vertical axis starts at zero."""
    values = [y for each in series for _, y in each.points]
    y = Axis("", SHARES) if max(values) <= 1 else Axis.over("", [0.0, *values])
    return chart(series, Axis(T_LABEL, SHARES), y, title), series


def _averaged(points: Sequence[Point]) -> list[Point]:
    """Return at most `MAX_POINTS` points, each the mean of a group of neighbors."""
    size = -(-len(points) // MAX_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _by_other_settings(document: Frontier, axis: str) -> dict[str, list[tuple[object, Point]]]:
    """Return the points in the order of `axis`, grouped by all other settings."""
    groups: dict[str, list[tuple[object, Point]]] = {}
    order = list(document.axes.get(axis, []))
    for point in sorted(document.points, key=lambda point: order.index(point.set[axis]) if axis else 0):
        others = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in point.set.items() if key != axis)
        if place := _place(point.measured):
            groups.setdefault(others, []).append((point.set.get(axis), place))
    return groups


def _place(row: Mapping[str, float | str]) -> Point | None:
    if FRONTIER_X not in row or FRONTIER_Y not in row:
        return None
    return float(row[FRONTIER_X]), float(row[FRONTIER_Y])
