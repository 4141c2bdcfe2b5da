"""SVG elements, with every value escaped: the primitives of all vector plots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # ticks of an axis of shares


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """Return one element; numbers get one decimal, `css` becomes `class`, and `_` in names becomes `-`."""
    names = {name: "class" if name == "css" else name.replace("_", "-") for name in attributes}
    written = Markup("").join(
        Markup(' {}="{}"').format(names[name], f"{value:.1f}" if isinstance(value, float) else value)
        for name, value in attributes.items()
    )
    inside = Markup("").join(map(escape, content))
    return Markup(f"<{tag}{written}>{inside}</{tag}>") if content else Markup(f"<{tag}{written}/>")


def text(x: float, y: float, words: str, **attributes: object) -> Markup:
    """Return text at a point."""
    return element("text", words, x=float(x), y=float(y), **attributes)


def line(points: Iterable[Point], **attributes: object) -> Markup:
    """Return a line through the points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), **attributes)


def circle(x: float, y: float, radius: float, *content: Markup, **attributes: object) -> Markup:
    """Return a circle; `content` may be a `title` element, which viewers show as a tooltip."""
    return element("circle", *content, cx=float(x), cy=float(y), r=radius if radius % 1 else int(radius), **attributes)


def svg(width: float, height: float, label: str, parts: Iterable[Markup], **attributes: object) -> Markup:
    """Return a whole drawing; `label` describes it to screen readers."""
    return element(
        "svg",
        Markup("\n").join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        **attributes,
    )


@dataclass(frozen=True)
class Axis:
    """One direction of a plot, from the first tick to the last."""

    label: str
    ticks: Sequence[float]
    logarithmic: bool = False

    @classmethod
    def over(cls, label: str, values: Sequence[float]) -> Axis:
        """Return an axis with round ticks that contains all `values`."""
        low, high = min(values), max(values)
        step = _round_step((high - low or abs(high) or 1) / 4)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(label, [tick * step for tick in range(first, max(last, first + 1) + 1)])

    def share(self, value: float) -> float:
        """Return the position of a value along the axis, in [0, 1]."""
        scale = math.log if self.logarithmic else float
        first, last = scale(self.ticks[0]), scale(self.ticks[-1])
        return (scale(value) - first) / (last - first)


def format_tick(tick: float) -> str:
    """Return the label of a tick."""
    return f"{tick / 1000:g}k" if abs(tick) >= 10_000 else f"{tick:.6g}"


def _round_step(step: float) -> float:
    """Return the smallest 1, 2, 2.5, or 5 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))
