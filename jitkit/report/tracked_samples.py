"""The samples of a validation for trackers: texts, their images enlarged, and film strips."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from jitkit.documents.schemas import Frame, Gallery, Sample, text_of
from jitkit.pictures.film_strip import MIN_CELL, enlarged, side, strip_png
from jitkit.pictures.recorder import FilmFrame
from jitkit.pictures.text_lines import load_font
from jitkit.protocols import TrackedSample
from jitkit.storage.png import rgb_pixels


def tracked_samples(gallery: Gallery) -> list[TrackedSample]:
    """Return the samples of a gallery as trackers get them."""
    return [_tracked(sample) for sample in gallery.samples]


def _tracked(sample: Sample) -> TrackedSample:
    picture = _decoded(sample.picture)
    large = enlarged(picture, side(picture, MIN_CELL))
    return TrackedSample(sample.seed, sample.text, _png(large), _film_strip(sample.frames))


def _film_strip(frames: Sequence[Frame]) -> bytes | None:
    if not frames:
        return None
    shown = [FilmFrame(frame.t, _decoded(frame.z), _decoded(frame.x_hat), text_of(frame.pieces)) for frame in frames]
    return strip_png(shown, load_font(frame.text for frame in shown))


def _decoded(picture: str) -> Tensor:
    """Return the pixels [H, W, 3] uint8 of a PNG file in base64."""
    return rgb_pixels(base64.b64decode(picture))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
