"""Files that may be compressed with gzip or Zstandard, and how much may become of them."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from jitkit.data.pieces import file_of, pieces_of
from jitkit.errors import InputError, RefusedError, missing_package
from jitkit.filesystem import open_regular
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer

MAX_DOCUMENT = 1 << 30  # bytes, uncompressed
MAX_EXPANSION = 100  # of a compressed file larger than `MIN_EXPANDED` bytes; text is rarely compressed to a tenth
MIN_EXPANDED = 1 << 26
PRINTED_BY = {".gz": "gunzip -c", ".tgz": "gunzip -c", ".zst": "zstd -dc"}
_FORMATS = {".gz": "gzip", ".tgz": "gzip", ".zst": "Zstandard"}
_PIECE = 1 << 9  # bytes of Zstandard, which become at most 16 MiB
_MAX_WINDOW = 1 << 27  # bytes that a Zstandard file may refer back to, as in the command `zstd`


def expanded_limit(size: int) -> int:
    """Return how many bytes a compressed file of `size` bytes may become."""
    return max(MIN_EXPANDED, MAX_EXPANSION * size)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """Yield an open file, uncompressed if its suffix is one of `PRINTED_BY`, and how much it may become; None for any.

    Raises InputError for a missing file, a Git LFS pointer, and damaged compression, ResourceError without zstandard.
    """
    with open_regular(path) as raw:
        refuse_pointer(raw.read(MAX_POINTER), path)
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        kind = _FORMATS.get(path.suffix.lower())
        if kind is None:
            yield raw, None
            return
        unpacked = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if kind == "gzip" else file_of(_zstd_pieces(raw))
        try:
            yield unpacked, expanded_limit(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            found = f"damaged or truncated compression ({str(error).rstrip('.')})"
            raise InputError(found, f"a complete {kind} file", file=path) from error


def _zstd_pieces(raw: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a Zstandard file of any number of frames. Raises EOFError if it is damaged or truncated."""
    try:
        import zstandard
    except ImportError as error:
        raise missing_package("zstandard", "files ending in .zst", "zstd") from error
    decompressor, frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW), None
    for data in pieces_of(raw, _PIECE):
        rest = data
        while rest:
            frame = frame or decompressor.decompressobj()
            try:
                yield frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from error
            rest = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends inside a frame")


class Budget:
    """How many more bytes may become of the archive at `path`, which has `size` bytes."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._limit = path, expanded_limit(size)
        self._left = self._limit

    def bounded(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the content of a file. Raises RefusedError as soon as all files together exceed the limit."""
        for data in pieces_of(file):
            self._left -= len(data)
            if self._left < 0:
                found, hint = f"more than {self._limit} bytes, unpacked", "If this is intended, unpack it first."
                raise RefusedError(found, f"at most {MAX_EXPANSION} times its size", file=self._path, hint=hint)
            yield data
