"""The schema of manifests. Tables that name a component accept any options; the component validates them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, model_validator

from jitkit.manifest.source import ManifestSource

LICENSE, LANGUAGE = r"[\w.+-]{1,64}", "[a-z]{2,3}"  # regular expressions of ids

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(gt=0, lt=1)]
Language = Annotated[str, Field(pattern=f"^{LANGUAGE}$")]
Beta = Annotated[float, Field(ge=0, lt=1)]

MAX_MINUTES = 365 * 24 * 60
LENGTHS = ("epochs", "max_steps", "minutes")  # of training; one from the command line replaces those of a manifest


class Use(BaseModel):
    """A table that names a component (`use`) and holds its options."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    use: str = Field(min_length=1, description="name of the component")

    @property
    def options(self) -> dict[str, Any]:
        """All keys except `use`."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def described(self) -> str:
        """The table in words, as "grammar (stories = 100)"."""
        options = ", ".join(f"{key} = {_separable(str(value))}" for key, value in self.options.items())
        return f"{self.use} ({options})"


def _separable(value: str) -> str:
    """Return a value for a list with commas: in quotes if it is empty or has a comma itself."""
    return f'"{value}"' if not value or "," in value else value


def _form(value: object) -> str:
    return FORMS[isinstance(value, Use | dict)]


FORMS = ("(name)", "(table)")  # pydantic has them in the locations of errors
NameOrUse = Annotated[Annotated[str, Tag(FORMS[0])] | Annotated[Use, Tag(FORMS[1])], Discriminator(_form)]
"""A component without options by its name, or one with options as a table."""


class Train(BaseModel):
    """The table `[train]`: how the model is trained."""

    model_config = STRICT

    epochs: Count | None = Field(None, description="passes over the training text")
    max_steps: Count | None = Field(None, description="optimizer steps; takes precedence over epochs")
    minutes: float | None = Field(
        None,
        gt=0,
        le=MAX_MINUTES,
        description="time for the whole run, converted to max_steps; epochs, if set, is an upper limit",
    )
    pack: bool = Field(True, description="join documents across images; false: start each in a new image")
    prepared: str = Field("", description="folder or URL with the result of `jitkit data prepare`, instead of the text")
    batch_size: Count = Field(64, description="images per optimizer step")
    accumulate: Count = Field(1, description="microbatches per batch; divides batch_size")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: Muon for hidden matrices, AdamW for the rest"
    )
    lr: float = Field(1e-4, gt=0, le=1000, description="peak learning rate")
    betas: tuple[Beta, Beta] = Field((0.9, 0.95), description="AdamW's decay rates")
    weight_decay: float = Field(
        0.0, ge=0, le=1000, description="applied to matrices, not to gains, biases and positions"
    )
    warmup_epochs: float = Field(0.0, ge=0, le=1e6, description="epochs of linear warmup")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warmup, instead of warmup_epochs")
    decay: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="shape of the learning rate decay to zero"
    )
    decay_fraction: float = Field(1.0, gt=0, le=1, description="final fraction of the run in which it decays")
    clip_norm: float | None = Field(1.0, gt=0, le=1e30, description="maximum gradient norm")
    ema: tuple[Decay, ...] = Field((0.999,), description="decays of averaged weights; validation uses the first")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="of matrix products; auto: bf16 if it measures faster on this machine"
    )
    recompute: bool = Field(
        False, description="activation checkpointing: recompute blocks in the backward pass to save memory"
    )
    compile: Literal["auto", "on", "off", "blocks"] = Field(
        "auto",
        description="torch.compile; blocks: block by block, as several processes always do",
    )
    seed: int = Field(42, ge=0, lt=2**63, description="for weights, data order, times and noise")
    draws: Literal["rows", "batch"] = Field(
        "rows",
        description="one noise generator per row of a batch, or per batch, as in version 0.1",
    )
    validate_every: Count = Field(1, description="epochs between validations")
    checkpoint_every: Count = Field(1, description="epochs between checkpoints")
    checkpoint_minutes: float | None = Field(
        None, gt=0, le=1e6, description="also save at the first step after this many minutes without a checkpoint"
    )
    validate_steps: Count | None = Field(
        None, description="steps between validations, each with a checkpoint, instead of both intervals in epochs"
    )
    keep: int = Field(3, ge=2, description="number of newest complete checkpoints to keep")
    validation_windows: Count = Field(256, description="held-out images used for validation")
    trackers: tuple[NameOrUse, ...] = Field(
        (),
        description="experiment trackers: names, or tables with `use` and options",
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> Train:
        if all(getattr(self, key) is None for key in LENGTHS):
            raise ValueError("epochs: found no training length; expected epochs, max_steps or minutes")
        if self.minutes is not None and self.max_steps is not None:
            raise ValueError("minutes: found max_steps as well; expected one of the two")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: found {self.accumulate}; expected a divisor of batch_size {self.batch_size}")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_steps: found warmup_epochs as well; expected one of the two")
        return self


class Guidance(BaseModel):
    """The table `[guidance]`: guidance scales, see `jitkit.diffusion.guidance`."""

    model_config = STRICT

    self_conditioning: float = Field(
        1.0, ge=0, le=100, description="scale for self-conditioning; values other than 1 need learned above 1"
    )
    learned: float = Field(
        1.0, ge=1, le=100, description="largest scale seen in training; 1: the network has no scale input"
    )
    known: float = Field(1.0, ge=0, le=100, description="scale for known pixels; values other than 1 double the time")
    known_from: float = Field(0.0, ge=0, le=1, description="start of the time interval in which known pixels guide")
    known_to: float = Field(1.0, ge=0, le=1, description="end of that interval")

    @model_validator(mode="after")
    def _interval_is_open(self) -> Guidance:
        if self.known_from >= self.known_to:
            raise ValueError(
                f"known_to: found {self.known_to}; expected more than known_from, which is {self.known_from}"
            )
        return self


class Parallel(BaseModel):
    """The table `[parallel]`: how several processes share the work. It is no part of the recipe and may change on resume."""

    model_config = STRICT

    shard: Literal["auto"] | Count = Field(
        "auto", description="processes that hold one copy of the model together; 1: each holds a copy"
    )
    images: Literal["auto"] | Count = Field(
        "auto", description="most images that a process takes through the network at once"
    )
    checkpoint: Literal["auto", "file", "shards"] = Field(
        "auto",
        description="one file, or a folder that all processes write; auto: a folder from 4 GB",
    )
    remote: str = Field(
        "", description="URL for copies of checkpoint folders, such as s3://bucket/run; --resume auto downloads them"
    )
    timeout: float = Field(
        600.0, gt=0, le=1e6, description="seconds that a process waits for the others, after the first step"
    )


class Teacher(BaseModel):
    """The table `[teacher]`: distillation from the model of `jitkit train --teacher`, see `jitkit.diffusion.distillation`."""

    model_config = STRICT

    steps: Count = Field(64, description="sampling steps of the teacher: a multiple of sampler.steps")
    temperature: float | None = Field(
        None,
        gt=0,
        le=10,
        description="replaces the teacher's objective.temperature; the student learns to sample at it",
    )
    evidence: float | None = Field(
        None, gt=0, le=1, description="replaces the teacher's objective.evidence; the student learns to sample with it"
    )


class Eval(BaseModel):
    """The table `[eval]`: what `jitkit eval` measures."""

    model_config = STRICT

    metrics: tuple[str, ...] = Field(
        ("codec", "validation", "token_recovery", "text_recovery", "likelihood"),
        min_length=1,
        description="metrics to compute",
    )
    times: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_length=1, description="times to measure at (0 noise, 1 data)"
    )
    num_windows: Count = Field(64, description="held-out images to measure")
    steps: Count | None = Field(None, description="sampling steps, instead of the sampler's")


class Weights(BaseModel):
    """The table `[weights]`: the trained weights, empty before training."""

    model_config = STRICT

    file: str | None = Field(None, description="path, relative to the manifest")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="of the file; checked before use")
    trained_on: str | None = Field(
        None, description="the training text; `jitkit eval` reads `data` if this describes it, as exports do"
    )
    steps: Count | None = Field(None, description="optimizer steps of training")
    command: str | None = Field(None, description="the command that trained them")
    hardware: str | None = Field(None, description="the machine that trained them")
    hours: float | None = Field(None, gt=0, le=1e6, description="training time in hours")
    license: str | None = Field(None, pattern=f"^{LICENSE}$", description="license of the weights, such as mit")
    language: tuple[Language, ...] | None = Field(None, description="languages of the text, as ISO 639 codes")
    metrics: dict[str, float] = Field({}, description="measured metrics")

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

    schema_version: Literal[1] = Field(description="version of the manifest format")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="name in the zoo and of the run folder")
    summary: str = Field(min_length=1, max_length=200, description="one-line description")
    num_parameters: Count | None = Field(None, description="parameters of the network; verified by `zoo check`")
    tokenizer: Use
    codec: Use
    backbone: Use
    schedule: Use
    objective: Use
    sampler: Use
    data: Use
    guidance: Guidance = Guidance()
    train: Train
    parallel: Parallel = Parallel()
    teacher: Teacher | None = Field(None, description="settings for distillation")
    eval: Eval = Eval()
    weights: Weights = Weights()
