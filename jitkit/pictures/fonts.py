"""Choose a font for a text."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from PIL import ImageFont

from jitkit.errors import InputError

TEXT_SIZE = 14
COMMON_FONTS = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "Arial.ttf", "DejaVuSans.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def load_font(texts: Iterable[str], path: Path | None = None) -> Font:
    """Return the font in a file, or the installed common font with the most letters of `texts`.

    Pillow's built-in font, which has few letters beyond English, is the fallback. Raises InputError for an invalid file.
    """
    if path is not None:
        try:
            return ImageFont.truetype(path, TEXT_SIZE)
        except OSError as error:
            raise InputError(str(error), "a font file (.ttf, .otf or .ttc)", file=path, field="--font") from error
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
