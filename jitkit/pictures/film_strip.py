"""The film strip of a sampling trajectory: noisy images, estimates, and decoded texts, as a picture or an animation."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from jitkit.errors import InputError
from jitkit.filesystem import read_bytes
from jitkit.pictures.recorder import FilmFrame
from jitkit.pictures.spans import Span, diff_spans

TEXT_SIZE = 14
FONT_FILE, MAX_FONT = "a font file (.ttf, .otf or .ttc) of at most 256 MiB", 2**28
COMMON_FONTS = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "Arial.ttf", "DejaVuSans.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def load_font(texts: Iterable[str], path: Path | None = None) -> Font:
    """Return the font in a file, or the installed common font with the most letters of `texts`.

    Pillow's built-in font, which has few letters beyond English, is the fallback. Raises InputError for an invalid file.
    """
    if path is not None:
        data = read_bytes(path, limit=MAX_FONT, expected=FONT_FILE, field="--font")
        try:
            return ImageFont.truetype(io.BytesIO(data), TEXT_SIZE)
        except OSError as error:
            raise InputError(str(error), FONT_FILE, file=path, field="--font") from error
    text = "".join({letter for text in texts for letter in text})
    fonts: list[Font] = [ImageFont.load_default(TEXT_SIZE)]
    for name in COMMON_FONTS:
        with suppress(OSError):  # not installed
            fonts.append(ImageFont.truetype(name, TEXT_SIZE))
    return min(reversed(fonts), key=lambda font: len(glyphs_missing(text, font)))


def glyphs_missing(text: str, font: Font) -> set[str]:
    """Return the characters of `text` that `font` lacks and draws as boxes."""
    box = bytes(font.getmask("\U0010ffff"))
    return {letter for letter in set(text) if letter.isprintable() and bytes(font.getmask(letter)) == box}


CELL, GAP, EDGE = 208, 20, 24  # pixels: width of a frame, gap between frames, margin of the strip
LINE_HEIGHT, MAX_LINES = 19, 24
FRAME_MS, LAST_FRAME_MS = 120, 2500  # of an animation
PAPER, INK, GRAY, UNSETTLED = "#ffffff", "#1c1f26", "#6b7280", "#c2410c"

Column = tuple[FilmFrame, list[list[Span]]]
"""A frame and the lines of its text."""


def film_strip(frames: Sequence[FilmFrame], font: Font) -> Image.Image:
    """Return a strip with one column per frame: t, the noisy image, the estimate, and its text.

    Letters that differ from the last frame are orange. Texts are truncated after `MAX_LINES` lines.
    """
    columns = _columns(frames, font)
    return _draw(columns, _height(columns), font)


def gif_bytes(frames: Sequence[FilmFrame], font: Font) -> bytes:
    """Return a looping GIF with one column of the film strip per frame."""
    columns = _columns(frames, font)
    first, *others = [_draw([column], _height(columns), font).quantize(256) for column in columns]
    file = io.BytesIO()
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, disposal=2)
    return file.getvalue()


def _columns(frames: Sequence[FilmFrame], font: Font) -> list[Column]:
    return [(frame, _lines(diff_spans(frame.text, frames[-1].text), font)) for frame in frames]


def _height(columns: Sequence[Column]) -> int:
    text_top = EDGE + LINE_HEIGHT + 2 * (CELL + LINE_HEIGHT + 6)
    return text_top + max(len(lines) for _, lines in columns) * LINE_HEIGHT + EDGE


def _draw(columns: Sequence[Column], height: int, font: Font) -> Image.Image:
    strip = Image.new("RGB", (2 * EDGE + len(columns) * (CELL + GAP) - GAP, height), PAPER)
    draw = ImageDraw.Draw(strip)
    for index, (frame, lines) in enumerate(columns):
        left, top = EDGE + index * (CELL + GAP), EDGE
        draw.text((left, top), f"t = {frame.t:.2f}", fill=INK, font=font)
        top += LINE_HEIGHT + 4
        caption = "noisy image" if frame.t < 1 else "final image"
        for picture, words in ((frame.z, caption), (frame.x_hat, "estimate of the model")):
            enlarged = Image.fromarray(picture.numpy()).resize((CELL, CELL), Image.Resampling.NEAREST)
            strip.paste(enlarged, (left, top))
            draw.text((left, top + CELL + 2), words, fill=GRAY, font=font)
            top += CELL + LINE_HEIGHT + 6
        for line in lines:
            x = float(left)
            for letter, changed in line:
                draw.text((x, top), letter, fill=UNSETTLED if changed else INK, font=font)
                x += font.getlength(letter)
            top += LINE_HEIGHT
    return strip


def _lines(spans: Sequence[Span], font: Font) -> list[list[Span]]:
    """Return `spans` wrapped into lines that fit a cell. Lines break between letters and at newlines of the text."""
    lines: list[list[Span]] = [[]]
    width = 0.0
    for letter, changed in ((c, changed) for text, changed in spans for c in text):
        step = font.getlength(_visible(letter))
        if letter == "\n" or width + step > CELL:
            lines.append([])
            width = 0.0
        if letter != "\n":
            lines[-1].append((_visible(letter), changed))
            width += step
    if len(lines) > MAX_LINES:
        return [*lines[: MAX_LINES - 1], [("...", False)]]
    return lines


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else " " if letter.isspace() else "\ufffd"
