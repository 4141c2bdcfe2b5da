"""Split text into training and validation: by document, or into two blocks if there is only one document."""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jitkit.data.encoding import C1_CONTROLS
from jitkit.errors import InputError, counted
from jitkit.progress import Progress, silent
from jitkit.protocols.data_source import Split

MAX_GAP = 1024  # characters between the blocks of a single document; at most 1 % of it

_WRONG_CONVERSION = (
    "jitkit: warning: %s: found %d control characters from U+0080 to U+009F. Was the text converted from WINDOWS-1252 as if "
    "it were ISO-8859-1? To repair a file: iconv -f UTF-8 -t ISO-8859-1 FILE | iconv -f WINDOWS-1252 -t UTF-8 > NEW"
)
_log = logging.getLogger("jitkit.data")


@dataclass(frozen=True)
class SplitDocuments:
    """A data source for documents that `read` returns in the same order each time. `origin` names them in messages.

    `size` is about how many bytes of UTF-8 they have, as far as this is known without reading them; otherwise 0.

    With several documents, validation takes documents in the order of their hashes while they fit into
    `validation_fraction` of all characters, or the shortest one if none fits. Copies of a document stay together. A single
    document is cut into a training block and a validation block, with a gap so that no sentence is in both. Empty documents
    are dropped. The split depends only on the documents and the fraction.
    """

    read: Callable[[], Iterator[str]]
    validation_fraction: float
    origin: str
    size: int = 0

    def documents(self, split: Split) -> Iterator[str]:
        """Yield the documents of a split, in the order of `read`.

        Raises InputError for less than two characters of text, and at the end if the text is not the one of `fingerprint`.
        """
        held_out, single, fingerprint, _ = self._scan
        digest, read_once = self._digest(), False
        for text in filter(None, self.read()):
            digest.update(_sha256(text))
            if single and not read_once:
                yield _block(text, split, self.validation_fraction)
            elif not single and (document_hash(text) in held_out) == (split == "validation"):
                yield text
            read_once = True
        if digest.hexdigest() != fingerprint:
            found, hint = "text that changed while it was read", "Repeat the command when nothing writes to it."
            raise InputError(found, "the same text", file=self.origin, hint=hint)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all documents, in order, and the fraction."""
        return self._scan.fingerprint

    @property
    def num_bytes(self) -> int:
        """How many bytes of UTF-8 all documents have."""
        return self._scan.num_bytes

    def scan(self, progress: Progress) -> None:
        """Read all documents once, if this has not been done, and show how far it is."""
        if "_scan" not in vars(self):
            vars(self)["_scan"] = self._read_all(progress)

    @cached_property
    def _scan(self) -> _Scan:
        return self._read_all(silent)

    def _read_all(self, progress: Progress) -> _Scan:
        digest, num_controls, num_bytes = self._digest(), 0, 0
        hashes, lengths = array("Q"), array("Q")
        for text in filter(None, self.read()):
            num_bytes += len(text) if text.isascii() else len(text.encode())
            progress("reading text", num_bytes, max(self.size, num_bytes) if self.size else 0)
            hashes.append(document_hash(text))
            lengths.append(len(text))
            digest.update(_sha256(text))
            num_controls += 0 if text.isascii() else len(C1_CONTROLS.findall(text))
        if num_controls:
            _log.warning(_WRONG_CONVERSION, self.origin, num_controls)
        if sum(lengths) < 2:
            found = f"{counted(len(lengths), 'document')} with {counted(sum(lengths), 'character')}"
            raise InputError(found, "text to train on", file=self.origin)
        unique, inverse = np.unique(np.frombuffer(hashes, np.uint64), return_inverse=True)
        sizes = np.bincount(inverse, weights=np.frombuffer(lengths, np.uint64)).astype(np.int64)
        held_out = _held_out(unique, sizes, self.validation_fraction) if len(unique) > 1 else frozenset[int]()
        return _Scan(held_out, len(unique) == 1, digest.hexdigest(), num_bytes)

    def _digest(self) -> hashlib._Hash:
        """Return the digest that all documents are added to, in order."""
        return hashlib.sha256(f"split 1 {self.validation_fraction!r}".encode())


class _Scan(NamedTuple):
    held_out: frozenset[int]  # hashes of the validation documents
    single: bool  # only one document, or copies of one
    fingerprint: str
    num_bytes: int


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def document_hash(text: str) -> int:
    """Return the hash of a document that decides about its split, in [0, 2^64)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _held_out(hashes: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64], fraction: float) -> frozenset[int]:
    """Return the hashes of the validation documents: at least one, never all. `hashes` are sorted."""
    remaining, smallest = int(fraction * sizes.sum()), int(sizes.min())
    chosen: set[int] = set()
    for key, size in zip(hashes.tolist(), sizes.tolist(), strict=True):
        if remaining < smallest:
            break
        if size <= remaining and len(chosen) < len(hashes) - 1:
            chosen.add(key)
            remaining -= size
    return frozenset(chosen or {int(hashes[sizes.argmin()])})


def _block(text: str, split: Split, fraction: float) -> str:
    """Return the block of a single document for a split; never empty. `text` has at least two characters."""
    held_out = min(max(1, int(fraction * len(text))), len(text) - 1)
    gap = min(MAX_GAP, len(text) // 100, len(text) - held_out - 1)
    return text[: len(text) - held_out - gap] if split == "train" else text[len(text) - held_out :]
