"""Guessing the encoding of bytes that are not UTF-8, for a hint."""

from __future__ import annotations

import re
import shlex

BOM = b"\xef\xbb\xbf"
_BOMS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_CONTEXT = 1 << 16  # bytes before and after an invalid one that suggest the encoding
_MIN_COHERENCE = 0.2  # how much a text resembles a language, from 0 to 1
_MIN_SAMPLE = 64  # bytes


def guessed_hint(data: bytes, place: int, name: str, printed_by: str = "") -> str:
    """Return what the bytes around `place` suggest: how to read, convert, or repair the file `name`.

    `printed_by` is the command that prints the bytes, for a file that is packed.
    """
    near = data[max(0, place - _CONTEXT) : place + _CONTEXT]
    source, target = (f"{printed_by} | iconv", "> NEW") if printed_by else ("iconv", f"{shlex.quote(name)} > NEW")
    if _is_damaged_utf8(data, near):
        return f"Most of it is UTF-8. To drop the invalid bytes: {source} -c -f UTF-8 -t UTF-8 {target}"
    encoding, more = next((name for bom, name in _BOMS.items() if data.startswith(bom)), None), ""
    if encoding is None:
        encoding, more = _guessed(near)
    if encoding is None:
        return ("It appears to be binary data." if 0 in near else "Convert it to UTF-8.") + more
    return f"If the encoding is {encoding}: --encoding {encoding}, or {source} -f {encoding} -t UTF-8 {target}{more}"


def _is_damaged_utf8(data: bytes, near: bytes) -> bool:
    """Return whether most characters above ASCII are valid UTF-8."""
    characters = [character for character in near.decode("utf-8", errors="replace") if character > "\x7f"]
    valid = sum(character != "\ufffd" for character in characters)
    return 0 not in near and (data.startswith(BOM) or valid > len(characters) - valid)


def _guessed(near: bytes) -> tuple[str | None, str]:
    """Return the encoding that bytes without a byte order mark suggest, or None; and how to get a better guess."""
    if 0 in near:
        return _wide(near), ""
    own = _western(near)
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return own, " pip install 'jitkit[encodings]' detects more encodings."
    matches = from_bytes(near)
    best, western = matches.best(), [match for match in matches if "cp1252" in match.could_be_from_charset]
    if best is None or (best.coherence < _MIN_COHERENCE and (own or len(near) < _MIN_SAMPLE)):
        return own, ""  # a detection would be chance
    if own and any(match.coherence >= best.coherence for match in western):
        return own, ""  # of those that fit equally well, the one that is most common
    return best.encoding.upper().replace("_", "-"), ""


def _wide(near: bytes) -> str | None:
    """Return the encoding of bytes with NULs, or None for binary data."""
    even, odd = (near[first::2].count(0) / max(1, len(near) // 2) for first in (0, 1))
    if max(even, odd) < 0.5 or min(even, odd) > 0.1:
        return None
    return "UTF-16LE" if odd > even else "UTF-16BE"


def _western(near: bytes) -> str | None:
    """Return the encoding of bytes in a western language, or None for those that no such encoding has."""
    if not re.search(b"[\x80-\x9f]", near):
        return "ISO-8859-1"
    try:
        near.decode("cp1252")
    except UnicodeDecodeError:  # some bytes have no meaning in it
        return None
    return "WINDOWS-1252"
