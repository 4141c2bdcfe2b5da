"""The charts of the pages: which numbers are drawn against which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

from jitkit.documents.document import Rows
from jitkit.documents.rows import BASELINE, HELD_OUT, Row, columns_of, interval_of
from jitkit.documents.schemas import CodecFacts, Frontier
from jitkit.report.page import label
from jitkit.report.plot import Figure, Series, color_class, plot
from jitkit.report.svg import SHARES, Axis, Point

MAX_POINTS = 200  # of a loss curve; longer ones are averaged
T_LABEL = "t (0 is noise, 1 is the clean image)"
SIGMAS = (0.001, 0.01, 0.1, 1, 10)


def over_t(rows: Rows, title: str) -> Figure:
    """Return a chart of every column of `rows` against its column `t`; the context-free baseline is dashed."""
    names = [name for name in columns_of(rows) if name != "t"]
    colors = ["line" if name == BASELINE else color_class(index) for index, name in enumerate(names)]
    return _against_t([_over_t(label(name), rows, name, css) for name, css in zip(names, colors, strict=True)], title)


def compared(runs: Mapping[str, Rows], key: str, title: str) -> Figure:
    """Return a chart of column `key` against `t` for several runs, and the context-free baseline of the first run."""
    series = [_over_t(run, rows, key, color_class(index)) for index, (run, rows) in enumerate(runs.items())]
    baseline = _over_t(label(BASELINE), next(iter(runs.values())), BASELINE, "line")
    return _against_t(series + ([baseline] if baseline.points else []), title)


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
    return plot(series, x, y, "loss against optimizer steps"), series


def noise_tolerance(codec: CodecFacts) -> Figure:
    """Return a chart of token accuracy against noise, with a line at `codec.tolerance` if that was measured."""
    points = [(row["sigma"], row["accuracy"]) for row in codec.noise]
    series = [Series("tokens decoded correctly, without a model", points, color_class(0))]
    if codec.tolerance is not None:
        edge = [(codec.tolerance, 0.0), (codec.tolerance, 1.0)]
        series.append(Series(f"0.1 % of tokens decoded wrongly: sigma {codec.tolerance:.2g}", edge, "line", dots=False))
    x = Axis("sigma of the noise (pixels: -1 to 1)", SIGMAS, logarithmic=True)
    return plot(series, x, Axis("", SHARES), "tokens decoded correctly under noise"), series


def frontier(documents: Mapping[str, Frontier]) -> Figure | None:
    """Return a chart of the first column of the frontiers against the second; real text and baselines are single dots.

    Points without these columns are left out, such as those of models that were scored by another metric than the first.
    """
    y_key, x_key = next(iter(documents.values())).columns[:2] if documents else ("", "")
    placed = partial(_placed, keys=(x_key, y_key))
    series: list[Series] = []
    for name, document in documents.items():
        axis = next(iter(document.axes), "")
        for others, rows in _by_other_settings(document, axis, (x_key, y_key)).items():
            title = ", ".join(part for part in (name if len(documents) > 1 else "", others) if part)
            labels = [str(value) for value, _ in rows]
            series.append(placed(title or name, [row for _, row in rows], color_class(len(series)), labels))
    legend = list(series)
    for document in islice(documents.values(), 1):
        for row in document.marks:
            if not {x_key, y_key} <= row.keys():
                continue
            name = str(row["text"])
            series.append(placed(name, [row], "real" if name == HELD_OUT else "reference", [name]))
    if not series:
        return None
    x, y = (
        Axis.over(label(key), [value for each in series for value in each.values(direction)])
        for direction, key in enumerate((x_key, y_key))
    )
    return plot(series, x, y, f"{y.label} against {x.label}"), legend


def _placed(name: str, rows: Sequence[Row], css: str, labels: Sequence[str], keys: tuple[str, str]) -> Series:
    """Return rows as points, `keys` across and along; those of a model are joined."""
    points = [(float(row[keys[0]]), float(row[keys[1]])) for row in rows]
    across, along = ([interval_of(row, key) for row in rows] for key in keys)
    return Series(name, points, css, labels, joined=css not in ("real", "reference"), across=across, along=along)


def _over_t(name: str, rows: Rows, key: str, css: str) -> Series:
    found = [row for row in rows if key in row]
    points = [(float(row["t"]), float(row[key])) for row in found]
    return Series(name, points, css, along=[interval_of(row, key) for row in found])


def _against_t(series: Sequence[Series], title: str) -> Figure:
    """Return a chart whose vertical axis starts at zero."""
    values = [value for each in series for value in each.values(1)]
    y = Axis("", SHARES) if max(values) <= 1 else Axis.over("", [0.0, *values])
    return plot(series, Axis(T_LABEL, SHARES), y, title), series


def _averaged(points: Sequence[Point]) -> list[Point]:
    """Return at most `MAX_POINTS` points, each the mean of a group of neighbors."""
    size = -(-len(points) // MAX_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _by_other_settings(document: Frontier, axis: str, keys: tuple[str, str]) -> dict[str, list[tuple[object, Row]]]:
    """Return value and scores of the points with all `keys` in the order of `axis`, grouped by all other settings."""
    groups: dict[str, list[tuple[object, Row]]] = {}
    order = list(document.axes.get(axis, []))
    for point in sorted(document.points, key=lambda point: order.index(point.set[axis]) if axis else 0):
        others = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in point.set.items() if key != axis)
        if set(keys) <= point.measured.keys():
            groups.setdefault(others, []).append((point.set.get(axis), point.measured))
    return groups
