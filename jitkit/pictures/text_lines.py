"""Text in pictures: fonts, and lines of colored letters."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import ImageDraw, ImageFont

from jitkit.errors import InputError
from jitkit.filesystem import read_bytes
from jitkit.pictures.spans import Span

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


LINE_HEIGHT, MAX_LINES = 19, 24
PAPER, INK, GRAY, UNSETTLED = "#ffffff", "#1c1f26", "#6b7280", "#c2410c"

Line = list[Span]
"""Single letters, and whether each one differs from the final text."""


def wrapped(spans: Sequence[Span], font: Font, width: float) -> list[Line]:
    """Return `spans` as lines of single letters that fit `width`. Only words that are longer than a line are broken."""
    lines: list[Line] = [[]]
    filled = 0.0  # of the last line
    for letter, changed in ((c, changed) for text, changed in spans for c in text):
        if letter == "\n":
            lines.append([])
            filled = 0.0
        else:
            lines[-1].append((_shown(letter), changed))
            filled += font.getlength(lines[-1][-1][0])
        if filled > width:
            lines[-1:] = _broken(lines[-1])
            filled = sum(font.getlength(shown) for shown, _ in lines[-1])
        if len(lines) > MAX_LINES:
            return [*lines[: MAX_LINES - 1], [("...", False)]]
    return lines


def _broken(line: Line) -> tuple[Line, Line]:
    """Split a line that is too long after its last space, or else before its last letter."""
    spaces = [index for index, (letter, _) in enumerate(line) if letter == " "]
    if line[-1][0] == " ":
        return line[:-1], []
    start = spaces[-1] + 1 if spaces and spaces[-1] else len(line) - 1
    return line[:start], line[start:]


def draw_lines(draw: ImageDraw.ImageDraw, lines: Sequence[Line], left: float, top: float, font: Font) -> None:
    """Draw lines one below the other, starting at a point; changed letters are orange."""
    for number, line in enumerate(lines):
        x = left
        for letter, changed in line:
            draw.text((x, top + number * LINE_HEIGHT), letter, fill=UNSETTLED if changed else INK, font=font)
            x += font.getlength(letter)


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else " " if letter.isspace() else "\ufffd"
