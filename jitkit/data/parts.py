"""Long texts in parts, cut at line ends, so that memory and a pattern's backtracking stay bounded."""

from __future__ import annotations

from collections.abc import Iterator

PART = 1 << 16
"""Characters a part has at most. The regular expressions of tokenizers backtrack over whole runs of a character and give
up (some crash) near 10^6 of one kind; a part stays far below."""


def parts(text: str, size: int = PART) -> Iterator[str]:
    """Yield `text` in parts of at most `size` characters that join to it, each cut after its last line end if it has one."""
    start = 0
    while len(text) - start > size:
        end = text.rfind("\n", start, start + size) + 1 or start + size
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
