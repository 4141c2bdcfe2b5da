"""The gallery of a model: samples and held-out text as pictures, for the pages (`gallery.json`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jitkit.documents.document import Count, Document, Numbers, Png, Share
from jitkit.documents.evaluation import SamplerInfo
from jitkit.documents.provenance import Provenance


class Piece(Document):
    """A stretch of text whose characters share one number in [0, 1]."""

    text: str
    share: Share


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
    noise: list[Numbers] = Field(
        description="`sigma`, `accuracy`: share of held-out tokens decoded correctly under noise of that deviation"
    )


class Gallery(Document):
    """`gallery.json`: samples of a model, for the pages."""

    schema_: Literal["jitkit.gallery/1"] = Field(default="jitkit.gallery/1", alias="schema")
    model: str
    step: Count
    sampler: SamplerInfo
    real: list[RealText]
    samples: list[Sample]
    codec: CodecFacts
    provenance: Provenance
