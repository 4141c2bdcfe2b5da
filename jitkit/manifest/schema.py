"""The schema of manifests. Tables that name a component accept any options; the component validates them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from jitkit.manifest.source import ManifestSource

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(gt=0, lt=1)]


class Use(BaseModel):
    """A table that names a component (`use`) and holds its options."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    use: Annotated[str, Field(min_length=1, description="name of the component")]

    @property
    def options(self) -> dict[str, Any]:
        """All keys except `use`."""
        return dict(self.__pydantic_extra__ or {})


class Train(BaseModel):
    """The table `[train]`: how the model is trained."""

    model_config = STRICT

    epochs: Annotated[Count | None, Field(description="passes over the training text")] = None
    max_steps: Annotated[Count | None, Field(description="optimizer steps; wins over epochs")] = None
    pack: Annotated[
        bool,
        Field(
            description="join documents across images; false: start every document in a new image, padded at the end"
        ),
    ] = True
    batch_size: Annotated[Count, Field(description="images per optimizer step")] = 64
    accumulate: Annotated[Count, Field(description="microbatches per batch; divides batch_size")] = 1
    optimizer: Annotated[
        Literal["adamw", "muon"], Field(description="muon: Muon for hidden matrices, AdamW for the rest")
    ] = "adamw"
    lr: Annotated[float, Field(gt=0, description="peak learning rate")] = 1e-4
    betas: Annotated[tuple[float, float], Field(description="AdamW's decay rates")] = (
        0.9,
        0.95,
    )
    weight_decay: Annotated[
        float, Field(ge=0, description="applied to matrices, not to gains, biases and positions")
    ] = 0.0
    warmup_epochs: Annotated[float, Field(ge=0, description="epochs of linear warmup")] = 0.0
    warmup_steps: Annotated[int, Field(ge=0, description="steps of linear warmup, instead of warmup_epochs")] = 0
    decay: Annotated[
        Literal["constant", "linear", "cosine"], Field(description="shape of the learning rate decay to zero")
    ] = "constant"
    decay_fraction: Annotated[float, Field(gt=0, le=1, description="final fraction of the run in which it decays")] = (
        1.0
    )
    clip_norm: Annotated[float | None, Field(gt=0, description="maximum gradient norm")] = 1.0
    ema: Annotated[tuple[Decay, ...], Field(description="decays of averaged weights; validation uses the first")] = (
        0.999,
    )
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        Field(description="of matrix products; auto: bf16 if it measures faster on this machine"),
    ] = "auto"
    recompute: Annotated[
        bool, Field(description="activation checkpointing: recompute blocks in the backward pass to save memory")
    ] = False
    compile: Annotated[Literal["auto", "on", "off"], Field(description="torch.compile")] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63, description="for weights, data order, times and noise")] = 42
    validate_every: Annotated[Count, Field(description="epochs between validations")] = 1
    checkpoint_every: Annotated[Count, Field(description="epochs between checkpoints")] = 1
    keep: Annotated[int, Field(ge=2, description="number of newest checkpoints to keep")] = 3
    validation_windows: Annotated[Count, Field(description="held-out images used for validation")] = 256
    trackers: Annotated[tuple[str, ...], Field(description="experiment trackers, in addition to metrics.jsonl")] = ()

    @model_validator(mode="after")
    def _lengths_agree(self) -> Train:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("epochs: found no training length; expected epochs or max_steps")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: found {self.accumulate}; expected a divisor of batch_size {self.batch_size}")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_steps: found warmup_epochs as well; expected one of the two")
        return self


class Guidance(BaseModel):
    """The table `[guidance]`: guidance scales, see `jitkit.diffusion.guidance`."""

    model_config = STRICT

    self_conditioning: Annotated[
        float, Field(ge=0, le=100, description="scale for self-conditioning; values other than 1 need learned")
    ] = 1.0
    learned: Annotated[
        float, Field(ge=1, le=100, description="largest scale seen in training; 1: the network has no scale input")
    ] = 1.0
    known: Annotated[
        float, Field(ge=0, le=100, description="scale for known pixels; values other than 1 double the time")
    ] = 1.0
    known_from: Annotated[
        float, Field(ge=0, le=1, description="start of the time interval in which known pixels guide")
    ] = 0.0
    known_to: Annotated[float, Field(ge=0, le=1, description="end of that interval")] = 1.0

    @model_validator(mode="after")
    def _interval_is_open(self) -> Guidance:
        if self.known_from >= self.known_to:
            raise ValueError(
                f"known_to: found {self.known_to}; expected more than known_from, which is {self.known_from}"
            )
        return self


class Teacher(BaseModel):
    """The table `[teacher]`: distillation from the model of `jitkit train --teacher`, see `jitkit.diffusion.distillation`."""

    model_config = STRICT

    steps: Annotated[Count, Field(description="sampling steps of the teacher: a multiple of sampler.steps")] = 64
    temperature: Annotated[
        float | None,
        Field(
            gt=0, le=10, description="replaces the teacher's objective.temperature; the student learns to sample at it"
        ),
    ] = None


class Eval(BaseModel):
    """The table `[eval]`: what `jitkit eval` measures."""

    model_config = STRICT

    metrics: Annotated[tuple[str, ...], Field(min_length=1, description="metrics to compute")] = (
        "codec",
        "validation",
        "token_recovery",
        "text_recovery",
        "likelihood",
    )
    times: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...],
        Field(min_length=1, description="times to measure at (0 noise, 1 data)"),
    ] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    num_windows: Annotated[Count, Field(description="held-out images to measure")] = 64
    steps: Annotated[Count | None, Field(description="sampling steps, instead of the sampler's")] = None


class Weights(BaseModel):
    """The table `[weights]`: the trained weights, empty before training."""

    model_config = STRICT

    file: Annotated[str | None, Field(description="path, relative to the manifest")] = None
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="of the file; checked before use")] = None
    trained_on: Annotated[str | None, Field(description="the training text")] = None
    steps: Annotated[Count | None, Field(description="optimizer steps of training")] = None
    command: Annotated[str | None, Field(description="the command that trained them")] = None
    hardware: Annotated[str | None, Field(description="the machine that trained them")] = None
    hours: Annotated[float | None, Field(gt=0, description="training time in hours")] = None
    metrics: Annotated[dict[str, float], Field(description="measured metrics")] = {}

    @model_validator(mode="after")
    def _file_has_a_hash(self) -> Weights:
        if self.file is not None and self.sha256 is None:
            raise ValueError("sha256: found nothing; expected the SHA-256 of the file, 64 hexadecimal digits")
        return self


class Sourced(BaseModel):
    """A model that keeps the text it was read from, for error messages."""

    _source: ManifestSource = PrivateAttr(default=ManifestSource("manifest", ""))

    @property
    def source(self) -> ManifestSource:
        """The text that this was read from."""
        return self._source

    def from_source(self, source: ManifestSource) -> Self:
        """Return a copy with its source text attached."""
        copy = self.model_copy()
        copy._source = source
        return copy


class Manifest(Sourced):
    """A recipe: components, their settings, and how to train them."""

    model_config = STRICT

    schema_version: Annotated[Literal[1], Field(description="of the manifest format")]
    id: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="name in the zoo and of the run folder")
    ]
    summary: Annotated[str, Field(min_length=1, max_length=200, description="one-line description")]
    num_parameters: Annotated[Count | None, Field(description="parameters of the network; verified by `zoo check`")] = (
        None
    )
    tokenizer: Use
    codec: Use
    backbone: Use
    schedule: Use
    objective: Use
    sampler: Use
    data: Use
    guidance: Guidance = Guidance()
    train: Train
    teacher: Annotated[Teacher | None, Field(description="settings for distillation")] = None
    eval: Eval = Eval()
    weights: Weights = Weights()
