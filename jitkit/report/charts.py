"""The charts of the pages: what is drawn against what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from markupsafe import Markup

from jitkit.documents.rows import LINE, columns_of
from jitkit.documents.schemas import CodecFacts, Frontier, Rows
from jitkit.report.chart import SHARES, Axis, Series, chart, colour

MOST_POINTS = 200  # of a loss curve; more are averaged
T_WORDS = "t (0 is noise, 1 is the clean image)"

Figure = tuple[Markup, list[Series]]
"""A chart, and what its legend names."""


def over_t(rows: Rows, words: Mapping[str, str], label: str) -> Figure:
    """Return every column of `rows` against its column `t`, the contextless line dashed; `words` spell the names."""
    names = [name for name in columns_of(rows) if name != "t"]
    series = [
        Series(
            words.get(name, name.replace("_", " ")),
            [(float(row["t"]), float(row[name])) for row in rows if name in row],
            "line" if name == LINE else colour(index),
        )
        for index, name in enumerate(names)
    ]
    return chart(
        series, Axis(T_WORDS, SHARES), _from_zero([y for each in series for _, y in each.points]), label
    ), series


def losses(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure | None:
    """Return training loss (averaged) and validation loss against the step, of runs by name; None before there are two."""
    series = []
    for index, (name, lines) in enumerate(logs.items()):
        validated = [(line["step"], line["validation_loss"]) for line in lines if "validation_loss" in line]
        trained = _thinned([(line["step"], line["loss"]) for line in lines if "loss" in line])
        one = len(logs) == 1
        if len(trained) > 1 and one:
            series.append(Series("training, averaged", trained, "quiet", dots=False))
        if validated:
            series.append(Series("validation" if one else name, validated, colour(index), joined=len(validated) > 1))
    points = [point for each in series for point in each.points]
    if len({step for step, _ in points}) < 2:
        return None
    x, y = Axis.over("optimizer steps", [0, *(p[0] for p in points)]), Axis.over("loss", [p[1] for p in points])
    return chart(series, x, y, "loss against optimizer steps"), series


def margin(codec: CodecFacts) -> Figure:
    """Return the share of tokens read right through noise against the noise, and where the margin ends."""
    points = [(row["sigma"], row["accuracy"]) for row in codec.noise]
    numbers = 3 * codec.pixels_per_token
    safe = min(max(codec.margin / numbers**0.5, points[0][0]), points[-1][0])
    series = [
        Series("tokens read right, no model", points, colour(0)),
        Series("noise as long as the margin", [(safe, 0), (safe, 1)], "line", dots=False),
    ]
    x = Axis("sigma of the noise (colours run from -1 to 1)", (0.001, 0.01, 0.1, 1, 10), logarithmic=True)
    return chart(series, x, Axis("", SHARES), "tokens read right through noise"), series


def frontier(documents: Mapping[str, Frontier]) -> Figure | None:
    """Return judge score against entropy of each model's points, with real text and controls as marks."""
    series: list[Series] = []
    for name, document in documents.items():
        axis = next(iter(document.axes), "")
        for others, steps in _by_other_settings(document, axis).items():
            title = ", ".join(part for part in (name if len(documents) > 1 else "", others) if part)
            words = [str(value) for value, _ in steps]
            series.append(Series(title or name, [place for _, place in steps], colour(len(series)), words))
    legend = list(series)
    for document in islice(documents.values(), 1):
        for row in document.marks:
            name = str(row["text"])
            if place := _place(row):
                series.append(Series(name, [place], "real" if name == "held-out" else "control", [name], joined=False))
    points = [point for each in series for point in each.points]
    if not points:
        return None
    x = Axis.over("entropy, nats a token", [across for across, _ in points])
    y = Axis.over("judge, bits a character", [up for _, up in points])
    return chart(series, x, y, "judge score against entropy"), legend


def compared(name: str, runs: Mapping[str, Rows], key: str, label: str) -> Figure:
    """Return column `key` against `t` for several runs, and the contextless line of the first."""
    series = [
        Series(run, [(float(row["t"]), float(row[key])) for row in rows if key in row], colour(index))
        for index, (run, rows) in enumerate(runs.items())
    ]
    first = next(iter(runs.values()))
    line = [(float(row["t"]), float(row[LINE])) for row in first if LINE in row]
    series += [Series("noise alone, no model", line, "line")] if line else []
    points = [y for each in series for _, y in each.points]
    return chart(series, Axis(T_WORDS, SHARES), _from_zero(points), f"{name}: {label}"), series


def _from_zero(values: Sequence[float]) -> Axis:
    return Axis("", SHARES) if max(values) <= 1 else Axis.over("", [0.0, *values])


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `MOST_POINTS` points, each the mean of so many neighbours."""
    size = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _by_other_settings(document: Frontier, axis: str) -> dict[str, list[tuple[object, tuple[float, float]]]]:
    """Return the points in the order of `axis`, in groups that agree in all other settings, spelled out."""
    groups: dict[str, list[tuple[object, tuple[float, float]]]] = {}
    order = list(document.axes.get(axis, []))
    for point in sorted(document.points, key=lambda point: order.index(point.set[axis]) if axis else 0):
        others = ", ".join(_short(key, value) for key, value in point.set.items() if key != axis)
        if place := _place(point.measured):
            groups.setdefault(others, []).append((point.set.get(axis), place))
    return groups


def _place(row: Mapping[str, float | str]) -> tuple[float, float] | None:
    if "entropy" not in row or "judge_bits" not in row:
        return None
    return float(row["entropy"]), float(row["judge_bits"])


def _short(key: str, value: object) -> str:
    return f"{key.rpartition('.')[2]} {value}"
