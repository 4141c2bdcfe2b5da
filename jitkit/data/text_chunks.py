"""Long texts in chunks that end at line ends, so that memory and regular-expression backtracking stay bounded."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_SIZE = 1 << 16
"""Default number of characters per chunk. The regular expressions of tokenizers backtrack over runs of one kind of
character, and give up or crash near 10^6 of them."""


def text_chunks(text: str, size: int = CHUNK_SIZE) -> Iterator[str]:
    """Yield consecutive chunks of at most `size` characters, each cut after its last line end if it has one."""
    start = 0
    while len(text) - start > size:
        end = text.rfind("\n", start, start + size) + 1 or start + size
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
