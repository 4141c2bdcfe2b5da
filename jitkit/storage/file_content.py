"""A file that is opened once: what was checked and hashed is what is used, even if another file takes its place."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from jitkit.filesystem import open_regular
from jitkit.storage.git_lfs import MAX_POINTER, refuse_pointer


@dataclass(frozen=True)
class FileContent:
    """The content of the file that was at `path` when it was opened."""

    path: Path
    data: memoryview  # in memory; writing to it does not change the file

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the content, in hexadecimal, computed at most once."""
        return hashlib.sha256(self.data).hexdigest()


def read_file(path: Path, expected: str = "a readable file") -> FileContent:
    """Return a copy of a regular file in memory, which does not change if the file is written to.

    Raises InputError if it is missing, not readable, not a regular file, or a Git LFS pointer.
    """
    with open_regular(path, expected) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        data = memoryview(content)[: file.readinto(content)]
    refuse_pointer(bytes(data[:MAX_POINTER]), path)
    return FileContent(path, data)


@contextmanager
def map_file(path: Path, expected: str = "a readable file") -> Iterator[tuple[FileContent, BinaryIO]]:
    """Yield the content of a regular file, mapped into memory also after the block, and the same file opened for reading.

    Raises InputError if it is missing, not readable, or not a regular file.
    """
    with open_regular(path, expected) as file:
        is_empty = os.fstat(file.fileno()).st_size == 0
        content = bytearray() if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        yield FileContent(path, memoryview(content)), file
