"""The tokens of a split: many shards on disk that read like one array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jitkit.errors import InputError, reading
from jitkit.filesystem import file_stamp
from jitkit.protocols import Split

Ids = npt.NDArray[np.unsignedinteger[Any]]
MAX_MAPPED = 128  # shards; each takes a file descriptor


class Tokens(Protocol):
    """A sequence of token ids, such as a NumPy array."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice, /) -> Ids: ...


@dataclass(frozen=True)
class TokenStream:
    """The tokens of a split, one document after the other."""

    split: Split
    tokens: Tokens  # [N] uint16 or uint32
    pad_id: int
    packed: bool  # documents may start inside a window; otherwise each starts a new one
    num_documents: int
    num_bytes: int  # of UTF-8 text
    span: int | None = None  # tokens that training reads before it moves on to others; None: all

    def __len__(self) -> int:
        return len(self.tokens)


class ShardedTokens(ABC):
    """The tokens of many shards as one sequence. The first `MAX_MAPPED` that are read stay mapped into memory.

    Reading an id above the vocabulary raises InputError.
    """

    def __init__(self, shards: Sequence[tuple[str, int]], dtype: npt.DTypeLike, vocab_size: int) -> None:
        """Take the name, for messages, and the number of tokens of each shard."""
        kept = [(name, length) for name, length in shards if length]
        self._names = [name for name, _ in kept]
        self._starts = [0, *accumulate(length for _, length in kept)]
        self._vocab_size, self._mapped = vocab_size, dict[int, Ids]()
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, places: slice) -> Ids:
        """Return consecutive tokens: those of a single shard without a copy."""
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError("only consecutive tokens can be read")
        pieces = []
        for number in self.numbers(start, stop):
            first, end = self._starts[number], self._starts[number + 1]
            ids = self._read(number, max(start, first) - first, min(stop, end) - first)
            pieces.append(self._checked(number, ids))
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)

    def numbers(self, start: int, stop: int) -> range:
        """Return the numbers of the shards that contain the tokens from `start` to `stop`, which is not included."""
        stop = min(stop, len(self))
        if start >= stop:
            return range(0)
        return range(bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop))

    @abstractmethod
    def local_path(self, number: int) -> Path:
        """Return the path of a shard, to map it."""

    def forget(self, number: int) -> None:
        """Map a shard no longer."""
        self._mapped.pop(number, None)

    def _read(self, number: int, start: int, stop: int) -> Ids:
        """Return the tokens of a shard from `start` to `stop`, which is not included."""
        if number not in self._mapped:
            path = self.local_path(number)
            with reading(path, "a shard"):
                if len(self._mapped) == MAX_MAPPED:
                    return np.fromfile(path, self.dtype, stop - start, offset=start * self.dtype.itemsize)
                self._mapped[number] = np.memmap(path, self.dtype, "r").view(np.ndarray)
        return self._mapped[number][start:stop]

    def _checked(self, number: int, ids: Ids) -> Ids:
        if ids.max() >= self._vocab_size:
            hint = "The shard is damaged; `jitkit data check` finds all damage, and `jitkit data prepare` repairs it."
            raise InputError(f"id {ids.max()}", f"ids below {self._vocab_size}", file=self._names[number], hint=hint)
        return ids


class LocalTokens(ShardedTokens):
    """The tokens of files. Reading a shard that was replaced since this object was created raises InputError."""

    def __init__(self, shards: Sequence[tuple[Path, int]], dtype: npt.DTypeLike, vocab_size: int) -> None:
        """Take the path and the number of tokens of each shard."""
        super().__init__([(str(path), length) for path, length in shards], dtype, vocab_size)
        self._paths = [path for path, length in shards if length]
        self._stamps = [file_stamp(path) for path in self._paths]

    def local_path(self, number: int) -> Path:
        """Return the path of a shard."""
        path = self._paths[number]
        if file_stamp(path) != self._stamps[number]:
            hint = "Repeat the command, and prepare no text that a running command reads."
            raise InputError("a shard that was replaced while it was in use", "the same shard", file=path, hint=hint)
        return path
