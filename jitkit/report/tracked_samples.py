"""The samples of a validation for trackers: texts, their images enlarged, and film strips."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jitkit.documents.schemas import Frame, Gallery, Sample, text_of
from jitkit.pictures.film_strip import MIN_CELL, enlarged, film_strip, side
from jitkit.pictures.recorder import FilmFrame
from jitkit.pictures.text_lines import load_font
from jitkit.protocols import TrackedSample


def tracked_samples(gallery: Gallery) -> list[TrackedSample]:
    """Return the samples of a gallery as trackers get them."""
    return [_tracked(sample) for sample in gallery.samples]


def _tracked(sample: Sample) -> TrackedSample:
    picture = _pixels(sample.picture)
    large = enlarged(picture, side(picture, MIN_CELL))
    return TrackedSample(sample.seed, sample.text, _png(large), _film_strip(sample.frames))


def _film_strip(frames: Sequence[Frame]) -> bytes | None:
    if not frames:
        return None
    shown = [FilmFrame(frame.t, _pixels(frame.z), _pixels(frame.x_hat), text_of(frame.pieces)) for frame in frames]
    return _png(film_strip(shown, load_font(frame.text for frame in shown)))


def _pixels(picture: str) -> Tensor:
    """Return a PNG file in base64, which this process has made, as a picture [H, W, 3] uint8."""
    with Image.open(io.BytesIO(base64.b64decode(picture)), formats=["PNG"]) as image:
        return torch.from_numpy(np.array(image.convert("RGB")))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
