"""The film strip of a sampling trajectory: noisy images, estimates, and decoded texts, as a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from jitkit.pictures.recorder import FilmFrame
from jitkit.pictures.spans import diff_spans
from jitkit.pictures.text_lines import GRAY, INK, LINE_HEIGHT, PAPER, Font, Line, draw_lines, wrapped

MIN_CELL, GAP, EDGE = 200, 20, 24  # pixels: least width of a frame, gap between frames, margin of the strip
ROWS = ("noisy image", "estimate", "its text")

Column = tuple[FilmFrame, list[Line]]
"""A frame and the lines of its text."""


def film_strip(frames: Sequence[FilmFrame], font: Font) -> Image.Image:
    """Return a strip with one column per frame: t, the noisy image, the estimate, and its text.

    Letters that differ from the last frame are orange. Texts are truncated after `MAX_LINES` lines.
    """
    cell, left = side(frames[0].z, MIN_CELL), EDGE + label_width(font)
    columns = with_lines(frames, font, cell)
    top = EDGE + LINE_HEIGHT + 4
    tops = [top + index * (cell + GAP // 2) for index in range(len(ROWS))]
    height = tops[-1] + max(len(lines) for _, lines in columns) * LINE_HEIGHT + EDGE
    strip = Image.new("RGB", (left + len(columns) * (cell + GAP) - GAP + EDGE, height), PAPER)
    draw = ImageDraw.Draw(strip)
    for top, name in zip(tops, ROWS, strict=True):
        draw.text((EDGE, top), name, fill=GRAY, font=font)
    for frame, lines in columns:
        draw.text((left, EDGE), time_of(frame), fill=INK, font=font)
        for top, picture in zip(tops, (frame.z, frame.x_hat), strict=False):
            strip.paste(enlarged(picture, cell), (left, top))
        draw_lines(draw, lines, left, tops[-1], font)
        left += cell + GAP
    return strip


def strip_png(frames: Sequence[FilmFrame], font: Font) -> bytes:
    """Return `film_strip` as the content of a PNG file."""
    content = io.BytesIO()
    film_strip(frames, font).save(content, "PNG")
    return content.getvalue()


def label_width(font: Font) -> int:
    """Return the width of the column with the names of the rows, and its gap."""
    return math.ceil(max(map(font.getlength, ROWS))) + GAP


def with_lines(frames: Sequence[FilmFrame], font: Font, width: int) -> list[Column]:
    """Return each frame with its text in lines of a width; letters that differ from the last frame are marked."""
    return [(frame, wrapped(diff_spans(frame.text, frames[-1].text), font, width)) for frame in frames]


def side(picture: Tensor, least: int) -> int:
    """Return the smallest whole multiple of the width of a picture [H, W, 3] that is at least `least` pixels."""
    return picture.shape[1] * -(-least // picture.shape[1])


def enlarged(picture: Tensor, size: int) -> Image.Image:
    """Return a picture [H, W, 3] uint8 with sharp pixels, `size` pixels wide and high."""
    return Image.fromarray(picture.numpy()).resize((size, size), Image.Resampling.NEAREST)


def time_of(frame: FilmFrame) -> str:
    """Return the heading of a frame."""
    return f"t = {frame.t:.2f}" + (" (end)" if frame.t == 1 else "")
