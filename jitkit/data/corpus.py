"""Corpora that may be larger than memory: read in blocks, with documents held out by their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from jitkit.data.split import document_hash
from jitkit.errors import InputError, counted
from jitkit.filesystem import file_stamp
from jitkit.protocols.data_source import Split

MIN_GROUP = 1 << 24  # bytes of text that become one shard of each split
MAX_GROUPS = 1024  # about; the shards of larger corpora are larger


class Block(Protocol):
    """A part of a corpus that is read on its own, such as a row group of a file.

    It is a frozen data class of plain values: its repr identifies it, and worker processes receive a copy.
    """

    @property
    def file(self) -> Path:
        """The file that contains it."""

    @property
    def size(self) -> int:
        """Its size in bytes, as far as it is known without reading it: of a compressed file, the size on the disk.

        Progress counts bytes of text, so it reaches the end early there: documents do not know their place in the file.
        """

    def documents(self) -> Iterator[str]:
        """Yield its documents, in the same order each time. Raises InputError with the file for unreadable text."""


class FileStamp(NamedTuple):
    """What shows without reading a file that it has changed."""

    path: str  # absolute, without links
    size: int  # bytes
    modified: int  # ns since 1970

    @property
    def described(self) -> str:
        """Size and time for a message."""
        modified = datetime.fromtimestamp(self.modified / 1e9).isoformat(sep=" ", timespec="milliseconds")
        return f"{counted(self.size, 'byte')} modified {modified}"


@dataclass(frozen=True)
class Corpus:
    """A data source for any amount of text, which is read once, in blocks, by one or several processes.

    A document is held out if its hash is below `validation_fraction` of the range of hashes, so the split of a document
    depends on nothing else, and copies stay together. Empty documents are dropped. `identity` names the corpus and how it
    is read, whatever its files contain; `origin` names it in messages.
    """

    files: Sequence[Path]
    read_blocks: Callable[[], Sequence[Block]]
    validation_fraction: float
    identity: tuple[str, ...]
    origin: str

    @cached_property
    def blocks(self) -> Sequence[Block]:
        """All blocks, in order. Raises InputError for a file that cannot be read."""
        return self.read_blocks()

    @cached_property
    def stamps(self) -> list[FileStamp]:
        """The stamps of all files, in order. Raises InputError for a missing file."""
        return stamps_of(self.files)

    @property
    def key(self) -> str:
        """Hex digest of what is read and how, but not of the content of the files."""
        return _digest([self.identity, repr(self.validation_fraction)])

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the documents of a split, in order."""
        for block in self.blocks:
            for text in filter(None, block.documents()):
                if self.split_of(text) == split:
                    yield text

    def split_of(self, text: str) -> Split:
        """Return the split of a document."""
        return "validation" if document_hash(text) < self.validation_fraction * 2**64 else "train"

    def require_unchanged(self, files: Sequence[FileStamp]) -> None:
        """Raise InputError, naming the first difference, unless the files still have the stamps `files`."""
        hint = "Run `jitkit data prepare` again with the same manifest, --data and --set, or restore the file."
        before, now = ({stamp.path: stamp for stamp in stamps} for stamps in (files, self.stamps))
        for path in [*before, *now]:
            if path not in now:
                raise InputError("no such file", "the corpus that was prepared", file=path, hint=hint)
            if path not in before:
                raise InputError("a new file", "the corpus that was prepared", file=path, hint=hint)
            if before[path] != now[path]:
                expected = f"{before[path].described}, as when it was prepared"
                raise InputError(now[path].described, expected, file=path, hint=hint)

    def fingerprint(self) -> str:
        """Return a hex digest of the key and of the sizes and times of all files, which are not read."""
        return _digest([self.key, self.stamps])


def stamps_of(files: Iterable[Path]) -> list[FileStamp]:
    """Return the stamp of each file. Raises InputError for a missing one."""
    return [FileStamp(*file_stamp(path)) for path in files]


def grouped(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return consecutive blocks in groups, each as small as possible but with at least `MIN_GROUP` bytes, except the last.

    For large corpora this minimum doubles, so that there are at most `MAX_GROUPS` groups.
    """
    total = sum(block.size for block in blocks)
    minimum = max(MIN_GROUP, 1 << (total // MAX_GROUPS).bit_length())
    groups, size = list[list[Block]](), minimum
    for block in blocks:
        if size >= minimum:
            groups.append([])
            size = 0
        groups[-1].append(block)
        size += block.size
    return groups


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
