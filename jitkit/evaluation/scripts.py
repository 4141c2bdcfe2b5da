"""The writing system of a character."""

from __future__ import annotations

import unicodedata
from functools import cache

COMMON = "common"  # spaces, digits, punctuation, symbols: shared by all scripts

# Python's database lacks the property Script. The name of a letter starts with its script, except for these first words.
_FORMS = {"fullwidth": 1, "halfwidth": 1, "modifier": -1, "combining": -1, "mathematical": -1, "ideographic": -1}


@cache
def script_of(character: str) -> str:
    """Return the script of a letter or mark: the first word of its Unicode name ("latin", "cjk"), else `COMMON`."""
    if unicodedata.category(character)[0] not in "LM":
        return COMMON
    words = unicodedata.name(character, "").lower().split()
    if not words:
        return COMMON
    place = _FORMS.get(words[0], 0)
    return COMMON if place < 0 or place >= len(words) else words[place]
