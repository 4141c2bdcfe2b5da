"""The frontier of a model: its samples scored over a grid of sampler settings (`frontier.json`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jitkit.documents.document import Count, Document, Rows, Setting
from jitkit.documents.provenance import Provenance


class FrontierPoint(Document):
    """Samples under one combination of settings."""

    set: dict[str, Setting] = Field(description="the settings, as in `--set`")
    measured: dict[str, float | str] = Field(description="the scores of the samples")
    seconds: float


class Frontier(Document):
    """`jitkit frontier --json`, and `frontier.json`."""

    schema_: Literal["jitkit.frontier/1"] = Field(default="jitkit.frontier/1", alias="schema")
    checkpoint: str
    model: str
    step: Count
    held_out: str
    num_texts: Count
    seed: int
    axes: dict[str, list[Setting]] = Field(description="the values of each setting; every combination is a point")
    marks: Rows = Field(description="the same scores for held-out text and for simple baselines")
    points: list[FrontierPoint] = Field(description="in the order of measurement")
    complete: bool = Field(description="whether every combination is measured")
    provenance: Provenance
