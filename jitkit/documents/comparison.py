"""The comparison of several runs: `jitkit compare --json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from jitkit.documents.document import Count, Document, MetricValues, Numbers, Setting


class ComparedRun(Document):
    """One run of a comparison."""

    name: str
    folder: str
    step: Count | None = None
    validation_loss: float | None = Field(default=None, description="the lowest in its log")
    measured: dict[str, MetricValues] = Field(default={}, description="as in its `report.json`")


class Comparison(Document):
    """`jitkit compare --json`."""

    schema_: Literal["jitkit.compare/1"] = Field(default="jitkit.compare/1", alias="schema")
    runs: list[ComparedRun]
    manifest_differences: dict[str, list[Setting | list[Any] | None]] = Field(
        description="manifest keys that differ, with the value in each run; null where a manifest lacks the key"
    )
    measured_differently: dict[str, list[Setting | None]] = Field(
        description="evaluation conditions that differ; figures measured under different conditions are not comparable"
    )
    figures: dict[str, list[Numbers | None]] = Field(
        description="`value`, `low` and `high` (95 % interval, if there is one) of each figure in each run"
    )
    differ: list[str] = Field(
        default=[],
        description="figures where the intervals of two runs do not overlap; empty if the runs are not comparable",
    )
