"""Strict decoding of UTF-8, with a hint for text in another encoding."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from jitkit.errors import InputError

_BOM = b"\xef\xbb\xbf"
_BOMS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BLOCK = 4096  # bytes; more than an eighth of NUL in a block means binary data, or UTF-16
_CONTEXT = 1 << 16  # bytes before and after an invalid one that suggest the encoding

C1_CONTROLS = re.compile("[\x80-\x9f]")
"""Control characters that no text contains. Punctuation in WINDOWS-1252 becomes these if it is read as ISO-8859-1."""


def decode(data: bytes, path: Path, offset: int = 0, line: int | None = None) -> str:
    """Return `data`, which starts at byte `offset` of the file, without a byte order mark.

    Raises InputError for invalid UTF-8, and for so many NUL bytes that it cannot be text.
    """
    start = len(_BOM) if offset == 0 and data.startswith(_BOM) else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        found = f"byte 0x{data[place]:02x} at offset {offset + place}, not valid UTF-8"
        raise InputError(found, "UTF-8 text", file=path, line=line, hint=_hint(data, place, path)) from error
    if (nul := _binary_from(data)) is not None:
        found = f"NUL bytes starting at offset {offset + nul}"
        raise InputError(found, "UTF-8 text", file=path, line=line, hint=_hint(data, nul, path))
    return text


def _binary_from(data: bytes) -> int | None:
    """Return the offset of the first NUL in a block that has too many, or None for text."""
    if 0 not in data:
        return None
    for start in (*range(0, len(data) - _BLOCK, _BLOCK), max(0, len(data) - _BLOCK)):
        if data.count(0, start, start + _BLOCK) > min(_BLOCK, len(data)) // 8:
            return data.index(0, start)
    return None


def _hint(data: bytes, place: int, path: Path) -> str:
    """Return what the bytes around `place` suggest: the command that converts or repairs the file, if there is one."""
    near = data[max(0, place - _CONTEXT) : place + _CONTEXT]
    name, compressed = shlex.quote(str(path)), path.name.lower().endswith(".gz")
    source = f"gunzip -c {name} | iconv" if compressed else "iconv"
    target = "> NEW" if compressed else f"{name} > NEW"
    if _is_damaged_utf8(data, near):
        return f"Most of it is UTF-8. To drop the invalid bytes: {source} -c -f UTF-8 -t UTF-8 {target}"
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), None) or _encoding(near)
    if encoding is None:
        return "It appears to be binary data." if 0 in near else "Convert it to UTF-8."
    return f"If the encoding is {encoding}: {source} -f {encoding} -t UTF-8 {target}"


def _is_damaged_utf8(data: bytes, near: bytes) -> bool:
    """Return whether most characters above ASCII are valid UTF-8."""
    characters = [character for character in near.decode("utf-8", errors="replace") if character > "\x7f"]
    valid = sum(character != "\ufffd" for character in characters)
    return 0 not in near and (data.startswith(_BOM) or valid > len(characters) - valid)


def _encoding(near: bytes) -> str | None:
    """Return the encoding that bytes without a byte order mark suggest, or None."""
    if 0 in near:
        even, odd = (near[first::2].count(0) / max(1, len(near) // 2) for first in (0, 1))
        if max(even, odd) < 0.5 or min(even, odd) > 0.1:
            return None
        return "UTF-16LE" if odd > even else "UTF-16BE"
    if not re.search(b"[\x80-\x9f]", near):
        return "ISO-8859-1"
    try:
        near.decode("cp1252")
    except UnicodeDecodeError:  # some bytes have no meaning in it
        return None
    return "WINDOWS-1252"
