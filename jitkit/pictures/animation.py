"""The animation of a sampling trajectory, a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageColor, ImageDraw

from jitkit.pictures.film_strip import Column, enlarged, side, time_of, with_lines
from jitkit.pictures.recorder import FilmFrame
from jitkit.pictures.text_lines import GRAY, INK, LINE_HEIGHT, PAPER, UNSETTLED, Font, draw_lines

MIN_CELL, GAP, EDGE = 128, 16, 16  # pixels; larger pictures of noise would make larger files
FRAME_MS, LAST_FRAME_MS = 200, 2500
LEVELS = (0, 85, 170, 255)  # of each color channel
SHADES = 12  # of each text color, for smooth letters


def gif_bytes(frames: Sequence[FilmFrame], font: Font) -> bytes:
    """Return a looping GIF: t, the noisy image next to the estimate, and its text, as in the film strip.

    All frames share one palette and are not dithered: noise hardly compresses.
    """
    cell, palette = side(frames[0].z, MIN_CELL), _palette()
    columns = with_lines(frames, font, 2 * cell + GAP)
    size = (2 * cell + GAP + 2 * EDGE, _text_top(cell) + max(len(lines) for _, lines in columns) * LINE_HEIGHT + EDGE)
    drawn = [_draw(column, size, cell, font) for column in columns]
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in drawn]
    file = io.BytesIO()
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    return file.getvalue()


def _text_top(cell: int) -> int:
    return EDGE + LINE_HEIGHT + 4 + cell + GAP // 2


def _draw(column: Column, size: tuple[int, int], cell: int, font: Font) -> Image.Image:
    frame, lines = column
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((EDGE, EDGE), time_of(frame), fill=INK, font=font)
    for index, picture in enumerate((frame.z, frame.x_hat)):
        image.paste(enlarged(picture, cell), (EDGE + index * (cell + GAP), EDGE + LINE_HEIGHT + 4))
    draw_lines(draw, lines, EDGE, _text_top(cell), font)
    return image


def _palette() -> Image.Image:
    """Return an image with the palette: evenly spaced colors, and the text colors blended with paper."""
    colors = [(red, green, blue) for red in LEVELS for green in LEVELS for blue in LEVELS]
    for ink in (INK, GRAY, UNSETTLED):
        dark, light = ImageColor.getrgb(ink), ImageColor.getrgb(PAPER)
        for step in range(SHADES):
            blend = [round(d + (p - d) * step / SHADES) for d, p in zip(dark, light, strict=True)]
            colors.append((blend[0], blend[1], blend[2]))
    image = Image.new("P", (1, 1))
    image.putpalette([value for color in colors for value in color])
    return image
