"""Groups of documents, each of which becomes a pair of shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jitkit.data.corpus import Block, Corpus, FileStamp, stamps_of
from jitkit.data.prepared_index import SPLITS
from jitkit.protocols import DataSource, Split


class Group(Protocol):
    """The documents of one pair of shards."""

    @property
    def size(self) -> int:
        """About how many bytes it has."""

    @property
    def source(self) -> str:
        """A digest of what is read, without its content."""

    def stamps(self) -> list[FileStamp]:
        """Return the stamps of the files that are read."""

    def documents(self) -> Iterator[tuple[Split, str]]:
        """Yield each document with its split."""


@dataclass(frozen=True)
class WholeText:
    """All documents of a data source that cannot be read in blocks."""

    whole: DataSource
    size: int = 0  # unknown
    source: str = ""  # the folder's name is a digest of the text

    def stamps(self) -> list[FileStamp]:
        """Return nothing: a change of the text is a change of its fingerprint."""
        return []

    def documents(self) -> Iterator[tuple[Split, str]]:
        """Yield the documents of one split, then those of the other."""
        return ((split, text) for split in SPLITS for text in self.whole.documents(split))


@dataclass(frozen=True)
class BlockGroup:
    """Consecutive blocks of a corpus."""

    corpus: Corpus
    blocks: Sequence[Block]

    @property
    def size(self) -> int:
        """The size of all blocks."""
        return sum(block.size for block in self.blocks)

    @property
    def source(self) -> str:
        """The digest of the blocks."""
        return hashlib.sha256(repr(self.blocks).encode(errors="surrogateescape")).hexdigest()

    def stamps(self) -> list[FileStamp]:
        """Return the stamps of the files that contain the blocks."""
        return stamps_of(dict.fromkeys(block.file for block in self.blocks))

    def documents(self) -> Iterator[tuple[Split, str]]:
        """Yield each document with its split, reading each block once."""
        texts = (text for block in self.blocks for text in block.documents() if text)
        return ((self.corpus.split_of(text), text) for text in texts)


class TextDigest:
    """The SHA-256 of documents and their lengths."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, text: str) -> None:
        """Add a document."""
        data = text.encode()
        self._digest.update(len(data).to_bytes(8, "little"))
        self._digest.update(data)

    def hexdigest(self) -> str:
        """Return the digest of the documents so far."""
        return self._digest.hexdigest()


def text_sha256(group: Group) -> str:
    """Return the digest of all documents of a group, which are read."""
    digest = TextDigest()
    for _, text in group.documents():
        digest.add(text)
    return digest.hexdigest()
