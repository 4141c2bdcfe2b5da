"""Strict decoding of text, with a hint for text in another encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from jitkit.data.encoding_guess import BOM, guessed_hint
from jitkit.data.encoding_names import UTF8
from jitkit.data.pieces import pieces_of
from jitkit.errors import InputError

_BLOCK = 4096  # bytes; more than an eighth of NUL in a block means binary data, or UTF-16

C1_CONTROLS = re.compile("[\x80-\x9f]")
"""Control characters that no text contains. Punctuation in WINDOWS-1252 becomes these if it is read as ISO-8859-1."""


class TextPlace(NamedTuple):
    """Where a text is: its name for messages, the shell command that prints its bytes if it is packed, and its encoding."""

    name: str
    printed_by: str = ""
    encoding: str = UTF8

    @property
    def expected(self) -> str:
        """What was expected, for a message."""
        return f"{self.encoding.upper()} text"


def decode(data: bytes, place: TextPlace, offset: int = 0, line: int | None = None) -> str:
    """Return the UTF-8 text `data`, which starts at byte `offset` of the file, without a byte order mark.

    Raises InputError for invalid UTF-8, and for so many NUL bytes that it cannot be text.
    """
    start = len(BOM) if offset == 0 and data.startswith(BOM) else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        where = start + error.start
        raise _invalid(data, where, offset, place, line) from error
    if (nul := _binary_from(data)) is not None:
        found, hint = f"NUL bytes starting at offset {offset + nul}", guessed_hint(data, nul, *place[:2])
        raise InputError(found, place.expected, file=place.name, line=line, hint=hint)
    return text


def recoded(file: BinaryIO, place: TextPlace) -> Iterator[bytes]:
    """Yield the content of a file in another encoding as UTF-8. Raises InputError for bytes that the encoding does not have."""
    decoder, num_read = codecs.getincrementaldecoder(place.encoding)(), 0
    for data in chain(pieces_of(file), [b""]):
        num_read += len(data)
        try:
            yield decoder.decode(data, final=not data).encode()
        except UnicodeDecodeError as error:
            seen = error.object  # `data`, after the bytes of an unfinished character
            raise _invalid(seen, error.start, num_read - len(seen), place) from error
        except UnicodeEncodeError as error:
            found = f"lone surrogate \\u{ord(error.object[error.start]):04x}"
            raise InputError(found, "text that UTF-8 can encode", file=place.name) from error
        except UnicodeError as error:  # of UTF-16 and UTF-32
            hint = f"If it is little-endian: --encoding {place.encoding}-le"
            raise InputError("no byte order mark", place.expected, file=place.name, hint=hint) from error


def _invalid(data: bytes, where: int, offset: int, place: TextPlace, line: int | None = None) -> InputError:
    found = f"byte 0x{data[where]:02x} at offset {offset + where}, not valid {place.encoding.upper()}"
    return InputError(
        found, place.expected, file=place.name, line=line, hint=guessed_hint(data, where, place.name, place.printed_by)
    )


def _binary_from(data: bytes) -> int | None:
    """Return the offset of the first NUL in a block that has too many, or None for text."""
    if 0 not in data:
        return None
    for start in (*range(0, len(data) - _BLOCK, _BLOCK), max(0, len(data) - _BLOCK)):
        if data.count(0, start, start + _BLOCK) > min(_BLOCK, len(data)) // 8:
            return data.index(0, start)
    return None
