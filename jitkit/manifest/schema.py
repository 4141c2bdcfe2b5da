"""The shape of a manifest. Tables that name a component keep its options open: the component itself validates them."""

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
        """The keys beside `use`, as they stand in the manifest."""
        return dict(self.__pydantic_extra__ or {})


class Train(BaseModel):
    """How the model is trained: the table `[train]`."""

    model_config = STRICT

    epochs: Annotated[Count | None, Field(description="passes over the training text")] = None
    max_steps: Annotated[Count | None, Field(description="optimizer steps; wins over epochs")] = None
    pack: Annotated[
        bool,
        Field(
            description="documents follow each other across images; "
            "false: every document starts an image and pad fills its last"
        ),
    ] = True
    batch_size: Annotated[Count, Field(description="images an optimizer step sees")] = 64
    accumulate: Annotated[Count, Field(description="parts that a batch is computed in; divides batch_size")] = 1
    optimizer: Annotated[
        Literal["adamw", "muon"], Field(description="muon: hidden matrices by Muon, all else by AdamW")
    ] = "adamw"
    lr: Annotated[float, Field(gt=0, description="peak learning rate")] = 1e-4
    betas: Annotated[tuple[float, float], Field(description="AdamW's averaging of gradients and squares")] = (
        0.9,
        0.95,
    )
    weight_decay: Annotated[float, Field(ge=0, description="of matrices; gains, biases and positions have none")] = 0.0
    warmup_epochs: Annotated[float, Field(ge=0, description="epochs of linear warm-up")] = 0.0
    warmup_steps: Annotated[int, Field(ge=0, description="steps of linear warm-up, in place of warmup_epochs")] = 0
    decay: Annotated[
        Literal["constant", "linear", "cosine"], Field(description="how the learning rate falls to zero")
    ] = "constant"
    decay_fraction: Annotated[float, Field(gt=0, le=1, description="last part of the run in which it falls")] = 1.0
    clip_norm: Annotated[float | None, Field(gt=0, description="largest gradient norm")] = 1.0
    ema: Annotated[tuple[Decay, ...], Field(description="decays of averaged weights; the first validates")] = (0.999,)
    precision: Annotated[
        Literal["auto", "bf16", "fp32"],
        Field(description="of matrix products; auto: bf16 where it is faster here, which is measured"),
    ] = "auto"
    recompute: Annotated[
        bool, Field(description="keep of each block its input only and compute it again for the gradient: less memory")
    ] = False
    compile: Annotated[Literal["auto", "on", "off"], Field(description="torch.compile")] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of weights, order of data, times and noise")] = 42
    validate_every: Annotated[Count, Field(description="epochs between measurements of the validation loss")] = 1
    checkpoint_every: Annotated[Count, Field(description="epochs between checkpoints")] = 1
    keep: Annotated[int, Field(ge=2, description="newest checkpoints to keep")] = 3
    validation_windows: Annotated[Count, Field(description="held-out images that validation measures")] = 256
    trackers: Annotated[tuple[str, ...], Field(description="where numbers go besides metrics.jsonl")] = ()

    @model_validator(mode="after")
    def _lengths_agree(self) -> Train:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("epochs: found no length; expected epochs or max_steps")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: found {self.accumulate}; expected a divisor of batch_size {self.batch_size}")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_steps: found warmup_epochs beside it; expected one of the two")
        return self


class Guidance(BaseModel):
    """How far a model leans towards what it is shown: the table `[guidance]`, see `jitkit.diffusion.guidance`."""

    model_config = STRICT

    self_conditioning: Annotated[
        float, Field(ge=0, le=100, description="scale of its own last estimate; other than 1 needs learned")
    ] = 1.0
    learned: Annotated[
        float, Field(ge=1, le=100, description="largest scale that training teaches; 1: the network is told no scale")
    ] = 1.0
    known: Annotated[
        float, Field(ge=0, le=100, description="scale of known pixels; other than 1 takes twice the time")
    ] = 1.0
    known_from: Annotated[float, Field(ge=0, le=1, description="known pixels guide from this time")] = 0.0
    known_to: Annotated[float, Field(ge=0, le=1, description="known pixels guide to this time")] = 1.0

    @model_validator(mode="after")
    def _interval_is_open(self) -> Guidance:
        if self.known_from >= self.known_to:
            raise ValueError(
                f"known_to: found {self.known_to} beside known_from {self.known_from}; expected a later time"
            )
        return self


class Teacher(BaseModel):
    """How the model that `jitkit train --teacher` names teaches: the table `[teacher]`, see `jitkit.diffusion.distillation`."""

    model_config = STRICT

    steps: Annotated[
        Count, Field(description="steps of its walk from noise to an image: a multiple of sampler.steps")
    ] = 64
    temperature: Annotated[
        float | None,
        Field(gt=0, le=10, description="in place of its own objective.temperature: the student writes as it does then"),
    ] = None


class Eval(BaseModel):
    """What `jitkit eval` measures: the table `[eval]`."""

    model_config = STRICT

    metrics: Annotated[tuple[str, ...], Field(min_length=1, description="what is measured")] = (
        "codec",
        "validation",
        "token_recovery",
        "text_recovery",
        "likelihood",
    )
    times: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...],
        Field(min_length=1, description="grid of t (0 noise, 1 data)"),
    ] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    num_windows: Annotated[Count, Field(description="held-out images that are measured")] = 64
    steps: Annotated[Count | None, Field(description="steps of texts from noise, in place of the sampler's own")] = None


class Weights(BaseModel):
    """The trained weights: the table `[weights]`, empty until trained."""

    model_config = STRICT

    file: Annotated[str | None, Field(description="path beside the manifest")] = None
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="of the file; checked before use")] = None
    trained_on: Annotated[str | None, Field(description="the text that it learned")] = None
    steps: Annotated[Count | None, Field(description="optimizer steps they were trained for")] = None
    command: Annotated[str | None, Field(description="the command that made them")] = None
    hardware: Annotated[str | None, Field(description="the machine that trained them")] = None
    hours: Annotated[float | None, Field(gt=0, description="time that training took there")] = None
    metrics: Annotated[dict[str, float], Field(description="what was measured of them")] = {}

    @model_validator(mode="after")
    def _file_has_a_hash(self) -> Weights:
        if self.file is not None and self.sha256 is None:
            raise ValueError("sha256: found nothing; expected the SHA-256 of the file, 64 hexadecimal digits")
        return self


class Manifest(BaseModel):
    """A recipe: which parts, with which settings, trained how."""

    model_config = STRICT

    schema_version: Annotated[Literal[1], Field(description="of the manifest's form")]
    id: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="name in the zoo and of the run folder")
    ]
    summary: Annotated[str, Field(min_length=1, max_length=200, description="what it is, in one line")]
    num_parameters: Annotated[Count | None, Field(description="parameters of the network; checked by `zoo check`")] = (
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
    teacher: Annotated[Teacher | None, Field(description="of a model that learns from another one")] = None
    eval: Eval = Eval()
    weights: Weights = Weights()

    _source: ManifestSource = PrivateAttr(default=ManifestSource("manifest", ""))

    @property
    def source(self) -> ManifestSource:
        """The text that this manifest was read from, for messages."""
        return self._source

    def from_source(self, source: ManifestSource) -> Self:
        """Return a copy that knows the text it was read from."""
        copy = self.model_copy()
        copy._source = source
        return copy
