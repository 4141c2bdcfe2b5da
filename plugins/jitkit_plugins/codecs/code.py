"""Error-correcting sign codes: redundant values per token increase the distance between codewords."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from jitkit.codecs.codebook import CodebookCodec
from jitkit.errors import ManifestError, counted

Bytes = NDArray[np.uint8]

WORK = 2**23  # codewords that the search examines, which takes about a third of a second
ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


class Code(CodebookCodec):
    """Sign codes: each token is many signs, and any two tokens differ in many of them."""

    name: ClassVar[str] = "code"

    numbers: int = Field(48, ge=1, le=4096, description="signs per token; 48 fill a patch of 4x4 pixels")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the code search")

    def codebook(self, vocab_size: int) -> Tensor:
        """Return V words of the best linear code found, one byte per bit (0 or 255)."""
        num_bits = max(1, (vocab_size - 1).bit_length())
        if num_bits > self.numbers:
            expected = f"at least {num_bits} for a vocabulary of {vocab_size}"
            raise ManifestError(f"{counted(self.numbers, 'value')} per token", expected, field="numbers")
        words = _words(num_bits, self.numbers, self.seed)[:vocab_size]
        return torch.from_numpy(np.unpackbits(words, axis=1, count=self.numbers) * np.uint8(255))


@lru_cache(maxsize=16)
def _words(num_bits: int, numbers: int, seed: int) -> Bytes:
    """Return the words [2**num_bits, ceil(numbers / 8)] of the best code found, as packed bits, in random order.

    The caller drops the last words if V is not a power of two. In natural order, the remaining words would share a bit.
    """
    source = np.random.PCG64(seed)
    words = _span(_best_generator(num_bits, numbers, source))
    words = words[np.argsort(source.random_raw(len(words)), kind="stable")]
    words.flags.writeable = False  # shared by the cache
    return words


def _best_generator(num_bits: int, numbers: int, source: np.random.PCG64) -> Bytes:
    """Return the first generator matrix, among those tried, whose code has the largest minimum distance."""
    best, best_distance = None, 0
    for _ in range(min(2**12, max(2**4, WORK >> num_bits))):
        generator = _quasi_cyclic(num_bits, numbers, source)
        distance = int(ONES[_span(generator)[1:]].sum(axis=1, dtype=np.int64).min())
        if distance > best_distance:
            best, best_distance = generator, distance
    assert best is not None  # the identity alone gives distance 1
    return best


def _quasi_cyclic(num_bits: int, numbers: int, source: np.random.PCG64) -> Bytes:
    """Return a generator matrix [num_bits, ceil(numbers / 8)], as packed bits: identity, then random circulant squares.

    Quasi-cyclic codes come closer to the best known distances than unstructured ones (Chen, Peterson, Weldon: Information
    and Control 15, 1969). The last square is truncated at `numbers` columns.
    """
    num_squares = -(-numbers // num_bits) - 1
    columns, rows = np.arange(num_bits), np.arange(num_bits)[:, None]
    firsts = (source.random_raw(num_squares * num_bits) >> np.uint64(63)).astype(np.uint8).reshape(-1, num_bits)
    circulants = firsts[:, (columns - rows) % num_bits].transpose(1, 0, 2).reshape(num_bits, -1)
    generator = np.concatenate([np.eye(num_bits, dtype=np.uint8), circulants], axis=1)
    return np.packbits(generator[:, :numbers], axis=1)


def _span(generator: Bytes) -> Bytes:
    """Return all sums modulo 2 of the rows [k, n], as packed bits [2**k, n]. Row 0 is zero."""
    words = np.zeros((1, generator.shape[1]), dtype=np.uint8)
    for row in generator:
        words = np.concatenate([words, words ^ row])
    return words
