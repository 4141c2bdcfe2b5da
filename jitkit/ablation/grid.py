"""The shape of a grid file: a manifest, what is varied, the seeds, and what is measured of every trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, PrivateAttr, Tag, model_validator

from jitkit.discovery.loader import PluginManager
from jitkit.manifest.problems import validate
from jitkit.manifest.schema import STRICT
from jitkit.manifest.source import ManifestSource
from jitkit.zoo.index import find_manifest

Overrides = tuple[Annotated[str, Field(description="KEY=VALUE, as for --set", pattern=r"^[^=]+=")], ...]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Scalar = str | bool | int | float

Values = Annotated[tuple[Scalar | tuple[Scalar, ...], ...], Field(min_length=1)]
Alternatives = Annotated[dict[Name, Overrides], Field(min_length=1)]


def _form(axis: Any) -> str:
    return "alternatives" if isinstance(axis, dict) else "values"


Axis = Annotated[Annotated[Values, Tag("values")] | Annotated[Alternatives, Tag("alternatives")], Discriminator(_form)]
"""The values of one manifest key, which names the axis; or named alternatives, each of which sets several keys."""

Axes = dict[Name, Axis]


class EvalTable(BaseModel):
    """One measurement of every trained model: a table `[eval.NAME]`."""

    model_config = STRICT

    metrics: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="what is measured; eval.metrics of the manifest if absent"),
    ] = None
    set: Annotated[
        Overrides, Field(description="keys of eval, schedule, objective, sampler and guidance to measure with")
    ] = ()
    axes: Annotated[Axes, Field(description="such keys to vary: the model is measured at each point")] = {}


class Grid(BaseModel):
    """A grid file."""

    model_config = STRICT

    schema_version: Annotated[Literal[1], Field(description="of the grid's form")]
    summary: Annotated[str, Field(min_length=1, max_length=200, description="the question, in one line")]
    manifest: Annotated[str, Field(min_length=1, description="a path from the grid's folder, or a zoo id")]
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...],
        Field(min_length=1, description="every cell is trained with each, as train.seed"),
    ]
    set: Annotated[Overrides, Field(description="overrides that all cells share")] = ()
    axes: Annotated[Axes, Field(description="every combination of them is a cell")] = {}
    cells: Annotated[dict[Name, Overrides], Field(description="cells by name, beside those of the axes")] = {}
    eval: Annotated[dict[Name, EvalTable], Field(min_length=1, description="what is measured, by name")] = {
        "eval": EvalTable()
    }
    columns: Annotated[
        tuple[str, ...], Field(description="figures of the table, as patterns such as generation.model.*")
    ] = ()

    _source: ManifestSource = PrivateAttr(default=ManifestSource("grid", ""))

    @model_validator(mode="after")
    def _seeds_differ(self) -> Grid:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: found a seed twice; expected each once")
        return self

    @property
    def source(self) -> ManifestSource:
        """The text that this grid was read from, for messages."""
        return self._source

    def from_source(self, source: ManifestSource) -> Self:
        """Return a copy that knows the text it was read from."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def find_manifest(self, manager: PluginManager) -> Path:
        """Return the manifest's file. Raises ManifestError when there is none."""
        beside = Path(self.source.origin).parent / self.manifest
        return beside if beside.exists() else find_manifest(self.manifest, manager)


def read_grid(path: Path) -> Grid:
    """Return the grid in a file. Raises ManifestError with file, line, key, found and expected for what is wrong."""
    source = ManifestSource.read(path, kind="grid")
    return validate(Grid, source.parse(), source).from_source(source)
