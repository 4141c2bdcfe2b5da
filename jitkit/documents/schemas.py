"""The JSON documents: evaluation, frontier, gallery, and comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from jitkit.documents.document import Count, Document, MetricValues, Numbers, Png, Provenance, Rows, Setting, Share


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

    @model_validator(mode="after")
    def _has_all_measurements(self) -> Self:
        if missing := self.about.keys() - self.__pydantic_extra__.keys():
            raise ValueError(f"no measurement of {min(missing)}, which the document is about")
        return self

    @property
    def measurements(self) -> dict[str, MetricValues]:
        """The measurement of each metric, by its name."""
        return {name: self.__pydantic_extra__[name] for name in self.about}


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
    columns: list[str] = Field(
        default=["judge_bits", "entropy", "known_words", "repeated", "distinct", "copied"],
        min_length=2,
        description="the scores to show; the chart draws the first against the second",
    )
    marks: Rows = Field(description="the same scores for held-out text and for simple baselines")
    points: list[FrontierPoint] = Field(description="in the order of measurement")
    complete: bool = Field(description="whether every combination is measured")
    provenance: Provenance


class Piece(Document):
    """A stretch of text whose characters share one number in [0, 1]."""

    text: str
    share: Share


def text_of(pieces: Iterable[Piece]) -> str:
    """Return the text of all pieces."""
    return "".join(piece.text for piece in pieces)


class Frame(Document):
    """One time of a sampling trajectory; the share of a piece is 1 if it equals the final text, else 0."""

    t: Share
    z: Png = Field(description="the noisy image")
    x_hat: Png = Field(description="the model's estimate of the clean image")
    pieces: list[Piece] = Field(description="the text of the estimate")


class Sample(Document):
    """A generated text. The share of a piece is its confidence: see `jitkit.evaluation.gallery`."""

    seed: int
    ended: bool = Field(description="whether it ends with an eos")
    pieces: list[Piece]
    picture: Png
    frames: list[Frame] = Field(description="its sampling trajectory; empty for most samples")

    @property
    def text(self) -> str:
        """The whole text."""
        return text_of(self.pieces)


class RealText(Document):
    """A held-out window."""

    text: str
    picture: Png


class CodecFacts(Document):
    """How tokens become pixels, and how much noise they tolerate."""

    use: str
    image_size: Count
    tokens_per_image: Count
    pixels_per_token: Count
    vocab_size: Count
    margin: float = Field(description="half the smallest distance between two codewords, in units of x")
    tolerance: float | None = Field(
        default=None, description="sigma of the noise at which 0.1% of held-out tokens are decoded wrongly"
    )
    noise: list[Numbers] = Field(
        description="`sigma`, `accuracy`: share of held-out tokens decoded correctly under noise of that deviation"
    )


class Gallery(Document):
    """`gallery.json`: samples of a model, for the pages."""

    schema_: Literal["jitkit.gallery/1"] = Field(default="jitkit.gallery/1", alias="schema")
    model: str
    step: Count
    sampler: SamplerInfo
    real: list[RealText] = Field(description="held-out texts")
    samples: list[Sample]
    codec: CodecFacts
    provenance: Provenance


class RunState(Document):
    """`run_state.json`: what has become of a run. `torchrun` ends with 1 whatever happened."""

    schema_: Literal["jitkit.run-state/1"] = Field(default="jitkit.run-state/1", alias="schema")
    state: Literal["running", "finished", "stopped", "failed"] = Field(
        description="stopped: by a signal, with its state saved; a run that was killed is still `running`"
    )
    step: Count = Field(description="training step of the last checkpoint, or of the start")
    time: str = Field(description="when this was written, in UTC")
    exit_code: int | None = Field(default=None, description="of `jitkit train`; absent while it is running")
    error: str | None = Field(default=None, description="the error as printed; absent unless it has failed")
    world_size: Count = Field(description="number of processes")
    restarts: Count = Field(description="how often `torchrun` has restarted the run")
    launch: str | None = Field(default=None, description="the run ID of `torchrun`; absent without it")
    attempt: str = Field(description="a random name of this start of the run")


class TrackerRecords(Document):
    """`trackers.json`: which record of a service is the one of a run, so that a resumed run continues it."""

    schema_: Literal["jitkit.trackers/1"] = Field(default="jitkit.trackers/1", alias="schema")
    records: dict[str, str] = Field(description="the ID of the record, by the name of the tracker")


class ComparedRun(Document):
    """One run of a comparison."""

    name: str
    folder: str
    step: Count | None = None
    validation_loss: float | None = Field(default=None, description="the lowest in its log")
    validation_windows: Count | None = Field(default=None, description="windows behind each validation loss")
    initial: str | None = Field(default=None, description="the model that its first weights came from")
    teacher: str | None = Field(default=None, description="the model that it distilled")
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
    not_measured: list[str] = Field(
        default=[], description="for each run that lacks an evaluation or metrics of another run, how to measure them"
    )
    figures: dict[str, list[Numbers | None]] = Field(
        description="`value`, `low` and `high` (95% interval, if there is one) of each figure in each run"
    )
    differ: list[str] = Field(
        default=[],
        description="figures where the intervals of two runs do not overlap; empty if the runs are not comparable",
    )
