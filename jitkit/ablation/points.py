"""Axes become points: every combination of their settings, each with a name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import tomli_w

from jitkit.ablation.grid import Axes, Axis, Grid


@dataclass(frozen=True)
class Point:
    """One combination of settings, "KEY=VALUE" each; later ones win."""

    name: str
    overrides: tuple[str, ...]


def product(axes: Axes) -> list[Point]:
    """Return every combination, the last axis running fastest; without an axis, the one that sets nothing."""
    return [
        Point(", ".join(point.name for point in combination), sum((point.overrides for point in combination), ()))
        for combination in itertools.product(*(_along(name, axis) for name, axis in axes.items()))
    ]


def points(grid: Grid) -> list[Point]:
    """Return the cells of a grid without their seeds: the product of the axes, then those listed by name.

    A grid of neither has one, called "base": the manifest itself, whose spread over seeds may be all that is asked.
    """
    listed = [Point(name, overrides) for name, overrides in grid.cells.items()]
    if listed and not grid.axes:
        return listed
    return [Point(point.name or "base", point.overrides) for point in product(grid.axes)] + listed


def _along(name: str, axis: Axis) -> list[Point]:
    if isinstance(axis, dict):
        return [Point(alternative, overrides) for alternative, overrides in axis.items()]
    return [
        Point(f"{name}={value if isinstance(value, str) else _toml(value)}", (f"{name}={_toml(value)}",))
        for value in axis
    ]


def _toml(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
