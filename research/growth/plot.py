"""The measurements and the fitted power law as a standalone SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitkit.report.plot import BOTTOM, LEFT, RIGHT, TOP, Series, color_class
from jitkit.report.plot import plot as draw
from jitkit.report.svg import Axis
from research.growth.power_law import PowerLaw

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
STYLE = (
    "svg{font:12px sans-serif;background:#fff}svg svg{overflow:visible}"
    "polyline{fill:none;stroke:currentColor;stroke-width:1.5;vector-effect:non-scaling-stroke}"
    "circle{fill:currentColor}g text{fill:currentColor;stroke:#fff;stroke-width:3px;paint-order:stroke}"
    ".before{text-anchor:end}"
    ".axes{color:#222}.axes line{stroke:#ddd}.axes .below{text-anchor:middle}"
)
WIDTH, HEIGHT = 480, 288
LEGEND = (66, 60)  # x and y of the first line, where rising curves leave room


def plot(rows: Mapping[str, Sequence[Mapping[str, Any]]], laws: Mapping[str, PowerLaw]) -> str:
    """Return an SVG of step time against each size, both relative to the base. Dots are measured, lines are fitted."""
    law = laws["step_seconds"]
    factors = [row["factor"] for of in rows.values() for row in of]
    series = []
    for index, (size, of) in enumerate(rows.items()):
        measured = [(row["factor"], row["step_seconds"] / law.unit) for row in of]
        fitted = [(factor, law.at({size: factor}) / law.unit) for factor, _ in measured]
        series.append(Series(f"{size}, fitted", fitted, color_class(index), dots=False))
        series.append(Series(size, measured, color_class(index), joined=False))
    costs = [cost for each in series for _, cost in each.points]
    axes = _axis("size relative to the base", factors), _axis("step time relative to the base", costs)
    drawn = str(draw(series, *axes, "Seconds of a training step against width, depth, image side and batch"))
    rules = "".join(f".{color_class(index)}{{color:{name}}}" for index, name in enumerate(COLORS))
    legend = "".join(
        f'<g class="{color_class(index)}"><text x="{LEGEND[0]}" y="{LEGEND[1] + 16 * index}">{size} ^ {law.exponents[size]:.2f}</text></g>'
        for index, size in enumerate(rows)
    )
    inside = (f'x="{LEFT}"', f'y="{TOP}"', f'width="{WIDTH - LEFT - RIGHT}"', f'height="{HEIGHT - TOP - BOTTOM}"')
    placed = drawn.replace("<svg ", f"<svg {' '.join(inside)} ", 1)
    whole = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
    return f"{whole}<style>{STYLE}{rules}</style>{placed}{legend}</svg>\n"


def _axis(words: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis over `values` with ticks at powers of two."""
    low, high = 1.0, 1.0
    while low > min(values):
        low /= 2
    while high < max(values):
        high *= 2
    ticks = [low]
    while ticks[-1] < high:
        ticks.append(2 * ticks[-1])
    return Axis(words, ticks, logarithmic=True)
