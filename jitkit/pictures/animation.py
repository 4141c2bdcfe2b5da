"""The film strip as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

from jitkit.pictures.film_strip import frame_pictures
from jitkit.pictures.fonts import Font
from jitkit.pictures.recorder import FilmFrame

FRAME_MS, LAST_FRAME_MS = 120, 2500


def gif_bytes(frames: Sequence[FilmFrame], font: Font) -> bytes:
    """Return a looping GIF with one column of the film strip per frame."""
    first, *others = [picture.quantize(256) for picture in frame_pictures(frames, font)]
    file = io.BytesIO()
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, disposal=2)
    return file.getvalue()
