"""Names of text encodings: those that Python knows, and nothing else that it calls a codec."""

from __future__ import annotations

import codecs
from difflib import get_close_matches
from encodings import normalize_encoding
from encodings.aliases import aliases

UTF8 = "utf-8"
COMMON = "utf-8, utf-16, iso-8859-1, windows-1252, shift_jis, gb18030"
_NO_TEXT = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_ONE_SYSTEM = {"mbcs", "oem"}  # only on Windows
_MODULES = {*aliases.values(), "utf_8_sig"} - _NO_TEXT - _ONE_SYSTEM
_KNOWN = _MODULES | {alias for alias, module in aliases.items() if module in _MODULES}


def encoding_named(name: str) -> str:
    """Return Python's name of an encoding ("utf-8", "cp1252"). Raises ValueError, with the closest names, for an unknown one."""
    key = normalize_encoding(name).lower()
    if key not in _KNOWN:
        near = get_close_matches(key, sorted(_KNOWN), n=1)
        raise ValueError(f"an encoding, such as {near[0].replace('_', '-') if near else COMMON}")
    return codecs.lookup(key).name
