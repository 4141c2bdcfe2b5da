"""Training and validation documents: apart by document where there are several, by blocks where there is one."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jitkit.errors import InputError
from jitkit.protocols.data_source import Split

GAP = 1024  # characters between the blocks of a lone document, at most; at most 1 % of it


@dataclass(frozen=True)
class SplitDocuments:
    """A data source made of documents that can be read again and again in the same order.

    Several different documents: the order of their hashes decides, and validation takes every one that still fits into
    `validation_fraction` of all characters, or the shortest where none does. Copies of a document stay together. One
    document: it is cut into a first block for training and a last one for validation, and a gap between them, so that no
    sentence straddles the cut, is left out. Empty documents are left out. The split depends on the documents alone.

    `read` returns the documents, `origin` names where they come from in messages.
    """

    read: Callable[[], Iterator[str]]
    validation_fraction: float
    origin: str

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the documents of a split, in the order of `read`. Raises InputError when there is nothing to split."""
        held_out, lone = self._survey.held_out, self._survey.lone
        for text in filter(None, self.read()):
            if lone:
                yield _block(text, split, self.validation_fraction)
                return
            if (_hash(text) in held_out) == (split == "validation"):
                yield text

    def fingerprint(self) -> str:
        """Return the SHA-256 of all documents, in order, and of the fraction."""
        return self._survey.fingerprint

    @cached_property
    def _survey(self) -> _Survey:
        digest = hashlib.sha256(f"split 1 {self.validation_fraction!r}".encode())
        hashes, lengths = array("Q"), array("Q")
        for text in filter(None, self.read()):
            hashes.append(_hash(text))
            lengths.append(len(text))
            digest.update(hashlib.sha256(text.encode()).digest())
        if sum(lengths) < 2:
            raise InputError(
                f"{len(lengths)} documents with {sum(lengths)} characters", "text to train on", file=self.origin
            )
        unique, inverse = np.unique(np.frombuffer(hashes, np.uint64), return_inverse=True)
        sizes = np.bincount(inverse, weights=np.frombuffer(lengths, np.uint64)).astype(np.int64)
        held_out = _held_out(unique, sizes, self.validation_fraction) if len(unique) > 1 else frozenset[int]()
        return _Survey(held_out, len(unique) == 1, digest.hexdigest())


class _Survey(NamedTuple):
    held_out: frozenset[int]  # hashes of the validation documents
    lone: bool  # there is one document only (or copies of one)
    fingerprint: str


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _held_out(hashes: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64], fraction: float) -> frozenset[int]:
    """Return which of the documents, sorted by hash, are for validation; at least one, never all."""
    room = int(fraction * sizes.sum())
    smallest = int(sizes.min())
    chosen: set[int] = set()
    for key, size in zip(hashes.tolist(), sizes.tolist(), strict=True):
        if room < smallest:
            break
        if size <= room and len(chosen) < len(hashes) - 1:
            chosen.add(key)
            room -= size
    return frozenset(chosen or {int(hashes[sizes.argmin()])})


def _block(text: str, split: Split, fraction: float) -> str:
    """Return the block of a lone document (at least two characters) that belongs to a split; never empty."""
    held_out = min(max(1, int(fraction * len(text))), len(text) - 1)
    gap = min(GAP, len(text) // 100, len(text) - held_out - 1)
    return text[: len(text) - held_out - gap] if split == "train" else text[len(text) - held_out :]
