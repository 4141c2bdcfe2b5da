"""Binary files that a generator produces piece by piece."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

PIECE = 1 << 16  # bytes


def file_of(pieces: Iterator[bytes]) -> BinaryIO:
    """Return a file, open for reading, whose content is all `pieces`. Reading raises what producing them raises."""
    return io.BufferedReader(_PieceFile(pieces), PIECE)


def pieces_of(file: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """Yield the content of a file in pieces of at most `size` bytes."""
    while data := file.read(size):
        yield data


class _PieceFile(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
