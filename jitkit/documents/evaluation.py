"""The evaluation report: `jitkit eval --json` and `report.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from jitkit.documents.document import Count, Document, MetricValues
from jitkit.documents.provenance import Provenance


class SamplerInfo(Document):
    """The sampler."""

    use: str
    steps: Count


class Evaluation(Document):
    """`jitkit eval --json`, and `report.json`. Each metric adds a key: its name, with its measurement."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MetricValues]

    schema_: Literal["jitkit.eval/1"] = Field(alias="schema", description="name and version of this schema")
    checkpoint: str = Field(description="the file")
    model: str = Field(description="id of its manifest")
    epoch: Count = Field(description="training epoch of the checkpoint")
    step: Count = Field(description="training step of the checkpoint")
    held_out: str = Field(description="source of the held-out text")
    num_held_out: Count = Field(description="number of all held-out windows")
    num_windows: Count = Field(description="number of windows that most metrics use, and of samples")
    tokens_per_window: Count
    seed: int = Field(description="seed of all noise")
    sampler: SamplerInfo
    quick: bool = Field(description="whether `--quick` was used")
    set: list[str] = Field(default=[], description="overrides of the manifest")
    device: str
    precision: str = Field(default="fp32", description="of matrix products: fp32 or bf16")
    about: dict[str, str] = Field(description="a sentence on each metric; its keys name the measurements")
    not_measured: dict[str, str] = Field(
        default={}, description="requested metrics that could not be computed, with the reason"
    )
    notes: list[str] = Field(default=[], description="caveats for the reader")
    seconds: float
    provenance: Provenance

    @property
    def measurements(self) -> dict[str, MetricValues]:
        """The measurement of each metric, by its name."""
        return {name: self.__pydantic_extra__[name] for name in self.about}
