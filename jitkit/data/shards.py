"""Writing and checking shards: files with token ids as little-endian uint16 or uint32."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from jitkit.data.tokenize import token_chunks
from jitkit.errors import InputError, counted
from jitkit.filesystem import open_regular
from jitkit.protocols import Tokenizer

CHECKED_AT_ONCE = 1 << 20  # tokens
SHOWN_AFTER = 1 << 18  # bytes of text between two reports of progress


class Shard(NamedTuple):
    """What the index records about a shard."""

    num_tokens: int
    num_documents: int
    num_bytes: int  # of UTF-8 text
    sha256: str


class ShardWriter:
    """Writes documents to an open file, eos after each; with `pack_length`, each is padded to a multiple of it.

    Calls `show` with the bytes of text that were written so far.
    """

    def __init__(
        self, file: BinaryIO, tokenizer: Tokenizer, pack_length: int | None, dtype: str, show: Callable[[int], None]
    ) -> None:
        self._file, self._tokenizer, self._pack_length, self._dtype = file, tokenizer, pack_length, dtype
        self._show, self._shown, self._digest = show, 0, hashlib.sha256()
        self._num_tokens = self._num_documents = self._num_bytes = 0

    def add(self, document: str) -> None:
        """Tokenize and write a document."""
        for chunk in token_chunks([document], self._tokenizer, self._pack_length):
            data = chunk.ids.astype(self._dtype).tobytes()
            self._file.write(data)
            self._digest.update(data)
            self._num_tokens += len(chunk.ids)
            self._num_documents += chunk.num_documents
            self._num_bytes += chunk.num_bytes
            if self._num_bytes - self._shown >= SHOWN_AFTER:
                self._shown = self._num_bytes
                self._show(self._shown)

    def finish(self) -> Shard:
        """Return the entry of the shard in the index."""
        self._show(self._num_bytes)
        return Shard(self._num_tokens, self._num_documents, self._num_bytes, self._digest.hexdigest())


def shard_size(shard: Shard, dtype: str) -> int:
    """Return the size of a shard in bytes."""
    return shard.num_tokens * np.dtype(dtype).itemsize


def check_size(path: Path, shard: Shard, dtype: str, hint: str = "") -> None:
    """Raise InputError unless the shard at `path` has the recorded size."""
    expected = shard_size(shard, dtype)
    with open_regular(path, "a shard") as file:
        size = file.seek(0, os.SEEK_END)
    if size != expected:
        raise InputError(counted(size, "byte"), f"{expected} (index.json)", file=path, field="size", hint=hint)


def check_content(path: Path, shard: Shard, dtype: str, vocab_size: int, hint: str = "") -> None:
    """Raise InputError unless the shard at `path` has the recorded size and hash, and ids below `vocab_size`."""
    check_size(path, shard, dtype, hint)
    digest, largest = hashlib.sha256(), -1
    with open_regular(path, "a shard") as file:
        while data := file.read(CHECKED_AT_ONCE * np.dtype(dtype).itemsize):
            digest.update(data)
            largest = max(largest, int(np.frombuffer(data, dtype).max()))
    if digest.hexdigest() != shard.sha256:
        raise InputError(digest.hexdigest(), f"{shard.sha256} (index.json)", file=path, field="sha256", hint=hint)
    if largest >= vocab_size:
        raise InputError(f"id {largest}", f"ids below {vocab_size}", file=path, hint=hint)
