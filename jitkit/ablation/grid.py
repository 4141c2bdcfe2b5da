"""Grid files: the schema, and the points and evaluations that a grid describes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from jitkit.discovery.loader import PluginManager
from jitkit.errors import ManifestError, Problem, shown
from jitkit.files import member_path
from jitkit.filesystem import exists
from jitkit.kinds import INFERENCE_TABLES, is_among
from jitkit.manifest.schema import STRICT, Sourced
from jitkit.manifest.source import ManifestSource
from jitkit.manifest.validation import validate
from jitkit.manifest.writer import override_text
from jitkit.zoo.index import find_manifest

Overrides = tuple[Annotated[str, Field(description="KEY=VALUE, as for --set", pattern=r"^[^=]+=")], ...]
EVAL_TABLES = ("eval", *INFERENCE_TABLES)  # an evaluation cannot change the network

Name = Annotated[str, Field(min_length=1, max_length=100)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Scalar = str | bool | int | float
Values = Annotated[tuple[Scalar | tuple[Scalar, ...], ...], Field(min_length=1)]
Alternatives = Annotated[dict[Name, Overrides], Field(min_length=1)]


def _axis_type(axis: Any) -> str:
    return "alternatives" if isinstance(axis, dict) else "values"


Axis = Annotated[
    Annotated[Values, Tag("values")] | Annotated[Alternatives, Tag("alternatives")], Discriminator(_axis_type)
]
"""Either the values of one manifest key (the name of the axis), or named alternatives that each set several keys."""

Axes = dict[Name, Axis]


class EvalTable(BaseModel):
    """One evaluation of every trained model: a table `[eval.NAME]`."""

    model_config = STRICT

    metrics: tuple[str, ...] | None = Field(
        None, min_length=1, description="metrics to compute; default: eval.metrics of the manifest"
    )
    set: Overrides = Field((), description="overrides of eval, schedule, objective, sampler, and guidance")
    axes: Axes = Field({}, description="axes of such keys; the model is evaluated at each combination")


class Grid(Sourced, BaseModel):
    """A grid file."""

    model_config = STRICT

    schema_version: Literal[1] = Field(description="version of the grid format")
    summary: str = Field(min_length=1, max_length=200, description="the question, in one line")
    manifest: str = Field(min_length=1, description="a path relative to the grid file, or a zoo id")
    seeds: tuple[Seed, ...] = Field(min_length=1, description="values of train.seed; every cell is trained with each")
    set: Overrides = Field((), description="overrides of all cells")
    axes: Axes = Field({}, description="axes; every combination is a cell")
    cells: dict[Name, Overrides] = Field({}, description="additional cells, by name")
    eval: dict[Name, EvalTable] = Field({"eval": EvalTable()}, min_length=1, description="evaluations, by name")
    columns: tuple[str, ...] = Field(
        (), description="columns of the result table, as patterns such as generation.model.*"
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> Grid:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: found a repeated seed; expected distinct seeds")
        return self

    def find_manifest(self, manager: PluginManager) -> Path:
        """Return the path of the manifest. Raises ManifestError if there is none, RefusedError if it is elsewhere."""
        hint = "Copy the manifest next to the grid, or use a zoo id."
        path = member_path(Path(self.source.origin).parent, self.manifest, field="manifest", hint=hint)
        return path if exists(path, error=ManifestError) else find_manifest(self.manifest, manager)


def read_grid(path: Path) -> Grid:
    """Return the grid in a file. Raises ManifestError with file, line, and key of every problem."""
    source = ManifestSource.read(path, kind="grid")
    return validate(Grid, source.parse(), source).from_source(source)


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
    settings = [(override_text(name, value), value) for value in axis]
    return [GridPoint(f"{name}={value}" if isinstance(value, str) else text, (text,)) for text, value in settings]


@dataclass(frozen=True)
class EvalSetting:
    """One evaluation of every trained model: an `[eval.NAME]` table at one point of its axes."""

    table: str  # NAME
    point: GridPoint
    overrides: tuple[str, ...]  # applied to the manifest in the checkpoint

    @property
    def name(self) -> str:
        """Name in messages and file names."""
        return f"{self.table}, {self.point.name}" if self.point.name else self.table


def eval_settings(grid: Grid) -> list[EvalSetting]:
    """Return each `[eval.NAME]` of a grid at every point of its axes.

    Raises ManifestError for a setting that would change the network.
    """
    found: list[EvalSetting] = []
    for name, table in grid.eval.items():
        metrics = () if table.metrics is None else (f"eval.metrics={list(table.metrics)}",)
        found += [EvalSetting(name, point, (*metrics, *table.set, *point.overrides)) for point in product(table.axes)]
    expected = f"a key of {', '.join(EVAL_TABLES)}, such as sampler.gamma"
    problems = [
        Problem(shown(key), expected, grid.source.origin, field=setting.name)
        for setting in found
        for key in map(key_of, setting.overrides)
        if not is_among(key, EVAL_TABLES)
    ]
    if problems:
        raise ManifestError(problems=problems)
    return found


def key_of(override: str) -> str:
    """Return the key of "KEY=VALUE"."""
    return override.partition("=")[0].strip()
