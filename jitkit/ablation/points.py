"""The points of a grid: every combination of the settings on its axes, each with a name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from jitkit.ablation.grid import Axes, Axis, Grid
from jitkit.manifest.writer import override_text


@dataclass(frozen=True)
class GridPoint:
    """A named combination of "KEY=VALUE" overrides. Later overrides win."""

    name: str
    overrides: tuple[str, ...]


def product(axes: Axes) -> list[GridPoint]:
    """Return every combination. The last axis varies fastest. Without axes: one point with an empty name."""
    options = {name: _points_on(name, axis) for name, axis in axes.items()}
    return [
        GridPoint(", ".join(point.name for point in chosen), sum((point.overrides for point in chosen), ()))
        for chosen in itertools.product(*options.values())
    ]


def grid_points(grid: Grid) -> list[GridPoint]:
    """Return the cells of a grid without seeds: the product of the axes, then the listed cells.

    A grid with neither has one cell, "base": the manifest itself, which measures the spread over seeds.
    """
    listed = [GridPoint(name, overrides) for name, overrides in grid.cells.items()]
    if listed and not grid.axes:
        return listed
    return [GridPoint(point.name or "base", point.overrides) for point in product(grid.axes)] + listed


def _points_on(name: str, axis: Axis) -> list[GridPoint]:
    if isinstance(axis, dict):
        return [GridPoint(alternative, overrides) for alternative, overrides in axis.items()]
    settings = [override_text(name, value) for value in axis]
    return [
        GridPoint(f"{name}={value}" if isinstance(value, str) else setting, (setting,))
        for value, setting in zip(axis, settings, strict=True)
    ]
