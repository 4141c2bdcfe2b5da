"""The film strip as an animation: one text settling, frame after frame."""

from __future__ import annotations

import io
from collections.abc import Sequence

from jitkit.pictures.film_strip import frame_pictures
from jitkit.pictures.fonts import Font
from jitkit.pictures.recorder import FilmFrame

MILLISECONDS, LAST = 120, 2500  # a frame is shown; the finished text


def gif_bytes(frames: Sequence[FilmFrame], font: Font) -> bytes:
    """Return an endless GIF of `frames`: the noisy picture, what the model sees, and the text; unsettled letters orange."""
    first, *others = [picture.quantize(256) for picture in frame_pictures(frames, font)]
    file = io.BytesIO()
    durations = [*[MILLISECONDS] * len(others), LAST]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, disposal=2)
    return file.getvalue()
