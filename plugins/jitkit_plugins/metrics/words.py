"""The words of a text."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters, with at most one apostrophe between them."""
    return _WORD.findall(text)
