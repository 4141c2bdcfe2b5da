"""The JSON documents of jitkit: what `--json` prints, what lies in a run folder, and what pages are made of.

These models are the one source of the schemas: documents are checked against them when they are read, tests check what the
commands print, and docs/json.md is written from them. A schema's number rises when a key goes or changes its meaning; keys
may be added without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jitkit.errors import InputError, shown

MAX_BYTES = 2**26  # of a document; larger ones are no work of jitkit

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Png = Annotated[str, Field(pattern="^[A-Za-z0-9+/]+={0,2}$", description="a PNG file, base64")]
Numbers = dict[str, float]
Rows = list[dict[str, float | str]]
MetricValues = Numbers | Rows
Setting = bool | int | float | str


class Document(BaseModel):
    """Base of all: frozen, strict, without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain values; what is None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Provenance(Document):
    """What it takes to get the same again."""

    command: str = Field(description="the command line, exactly")
    machine: str = Field(description="processor, system, and device in words")
    versions: dict[str, str] = Field(description="of jitkit, torch and every plugin's distribution")
    manifest: str = Field(description="the resolved manifest, TOML")
    checkpoint_sha256: str | None = Field(default=None, description="of the checkpoint file; not while training")


class SamplerInfo(Document):
    """The sampler."""

    use: str
    steps: Count


class Evaluation(Document):
    """`jitkit eval --json`, and `report.json`. Measurements stand beside these keys, each under the name of its metric."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MetricValues]

    schema_: Literal["jitkit.eval/1"] = Field(alias="schema", description="name and version of this schema")
    checkpoint: str = Field(description="the file")
    model: str = Field(description="id of its manifest")
    epoch: Count = Field(description="of training, when the checkpoint was written")
    step: Count = Field(description="of training, when the checkpoint was written")
    held_out: str = Field(description="where the measured text is from")
    num_held_out: Count = Field(description="windows for `validation` and `codec`")
    num_windows: Count = Field(description="windows for all else, and texts from noise")
    tokens_per_window: Count
    seed: int = Field(description="that all noise follows from")
    sampler: SamplerInfo
    quick: bool = Field(description="whether it was a first look only")
    set: list[str] = Field(default=[], description="settings laid over the manifest")
    device: str
    precision: str = Field(default="fp32", description="of matrix products: fp32 or bf16")
    about: dict[str, str] = Field(description="a sentence on each metric; its keys name the measurements")
    not_measured: dict[str, str] = Field(
        default={}, description="metrics that were asked for, and why they have no figures"
    )
    notes: list[str] = Field(default=[], description="what a reader of the figures should know")
    seconds: float
    provenance: Provenance

    @property
    def measurements(self) -> dict[str, MetricValues]:
        """What each metric said, by its name."""
        return {name: self.__pydantic_extra__[name] for name in self.about}


class Piece(Document):
    """Some letters of a text, and a number between 0 and 1 that is the same for all of them."""

    text: str
    share: Share


class Frame(Document):
    """A moment on the way from noise to text; in `pieces`, the share is 1 for letters that are those of the finished text."""

    t: Share
    z: Png = Field(description="what the sampler holds")
    x_hat: Png = Field(description="what the model sees in it")
    pieces: list[Piece] = Field(description="how that reads")


class Sample(Document):
    """A text from noise. The share of a piece is its confidence: see `jitkit.evaluation.gallery`."""

    seed: int
    ended: bool = Field(description="whether it ends by an eos")
    pieces: list[Piece]
    picture: Png
    frames: list[Frame] = Field(description="the way there; none for most samples")


class RealText(Document):
    """A held-out window."""

    text: str
    picture: Png


class CodecFacts(Document):
    """How tokens become pixels, and how much noise they bear."""

    use: str
    image_size: Count
    tokens_per_image: Count
    pixels_per_token: Count
    vocab_size: Count
    margin: float = Field(description="half the least distance of two codewords, in units of x")
    noise: list[Numbers] = Field(
        description="`sigma`, `accuracy`: held-out tokens read through noise of that deviation"
    )


class Gallery(Document):
    """`gallery.json`: what a model's texts look like, for the pages."""

    schema_: Literal["jitkit.gallery/1"] = Field(default="jitkit.gallery/1", alias="schema")
    model: str
    step: Count
    sampler: SamplerInfo
    real: list[RealText]
    samples: list[Sample]
    codec: CodecFacts
    provenance: Provenance


class FrontierPoint(Document):
    """Texts under one choice of settings."""

    set: dict[str, Setting] = Field(description="the settings, as in `--set`")
    measured: dict[str, float | str] = Field(description="the numbers of `generation` for these texts")
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
    marks: Rows = Field(description="the same numbers for held-out text and for texts that no model wrote")
    points: list[FrontierPoint] = Field(description="in the order of measurement")
    complete: bool = Field(description="whether every combination is there")
    provenance: Provenance


class ComparedRun(Document):
    """One run of a comparison."""

    name: str
    folder: str
    step: Count | None = None
    validation_loss: float | None = Field(default=None, description="the lowest of its log")
    measured: dict[str, MetricValues] = Field(default={}, description="as in its `report.json`")


class Comparison(Document):
    """`jitkit compare --json`."""

    schema_: Literal["jitkit.compare/1"] = Field(default="jitkit.compare/1", alias="schema")
    runs: list[ComparedRun]
    manifest_differences: dict[str, list[Setting | list[Any] | None]] = Field(
        description="keys in which the manifests differ, with the value of each run; null where a manifest has none"
    )
    measured_differently: dict[str, list[Setting | None]] = Field(
        description="how the measurements differ in what was measured: such figures are not to be compared"
    )
    figures: dict[str, list[Numbers | None]] = Field(
        description="`value`, `low` and `high` (95 % interval, where there is one) of each figure in each run"
    )
    differ: list[str] = Field(
        default=[], description="figures of which two runs have intervals apart; none where runs are not measured alike"
    )


DocumentT = TypeVar("DocumentT", bound=Document)


def read_document(path: Path, kind: type[DocumentT]) -> DocumentT:
    """Return the document in a file. Raises InputError for one that is missing, damaged or of another schema."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError((error.strerror or str(error)).lower(), "a document of jitkit", file=path) from error
    if len(text) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES} bytes", "a document of jitkit", file=path)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        raise InputError(shown(first["input"]), first["msg"], file=path, field=where) from error
