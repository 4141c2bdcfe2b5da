"""The schema of a grid file: a manifest, the axes, the seeds, and the evaluations of every trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from jitkit.discovery.loader import PluginManager
from jitkit.manifest.problems import validate
from jitkit.manifest.schema import STRICT, Sourced
from jitkit.manifest.source import ManifestSource
from jitkit.zoo.index import find_manifest

Overrides = tuple[Annotated[str, Field(description="KEY=VALUE, as for --set", pattern=r"^[^=]+=")], ...]
Name = Annotated[str, Field(min_length=1, max_length=100)]
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

    metrics: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="metrics to compute; default: eval.metrics of the manifest"),
    ] = None
    set: Annotated[Overrides, Field(description="overrides of eval, schedule, objective, sampler, and guidance")] = ()
    axes: Annotated[Axes, Field(description="axes of such keys; the model is evaluated at each combination")] = {}


class Grid(Sourced, BaseModel):
    """A grid file."""

    model_config = STRICT

    schema_version: Annotated[Literal[1], Field(description="version of the grid format")]
    summary: Annotated[str, Field(min_length=1, max_length=200, description="the question, in one line")]
    manifest: Annotated[str, Field(min_length=1, description="a path relative to the grid file, or a zoo id")]
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...],
        Field(min_length=1, description="values of train.seed; every cell is trained with each"),
    ]
    set: Annotated[Overrides, Field(description="overrides of all cells")] = ()
    axes: Annotated[Axes, Field(description="axes; every combination is a cell")] = {}
    cells: Annotated[dict[Name, Overrides], Field(description="additional cells, by name")] = {}
    eval: Annotated[dict[Name, EvalTable], Field(min_length=1, description="evaluations, by name")] = {
        "eval": EvalTable()
    }
    columns: Annotated[
        tuple[str, ...], Field(description="columns of the result table, as patterns such as generation.model.*")
    ] = ()

    @model_validator(mode="after")
    def _seeds_differ(self) -> Grid:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: found a repeated seed; expected distinct seeds")
        return self

    def find_manifest(self, manager: PluginManager) -> Path:
        """Return the path of the manifest. Raises ManifestError if there is none."""
        path = Path(self.source.origin).parent / self.manifest
        return path if path.exists() else find_manifest(self.manifest, manager)


def read_grid(path: Path) -> Grid:
    """Return the grid in a file. Raises ManifestError with file, line, and key of every problem."""
    source = ManifestSource.read(path, kind="grid")
    return validate(Grid, source.parse(), source).from_source(source)
