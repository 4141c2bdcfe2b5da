"""Codecs with an arbitrary codebook: a table of bytes with one row per token, from a component or a file."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from jitkit.codecs.codewords import Codebook, Constant
from jitkit.codecs.image_codec import GRAY, ImageCodec
from jitkit.codecs.layout import Layout
from jitkit.component import Component
from jitkit.errors import InputError, PluginError
from jitkit.files import WORKING_FOLDER, Files
from jitkit.storage.png import parse_picture, png_bytes, read_note

LOOKUP_ROWS = 2**14  # codewords per batch, which fit the cache of a CPU
CPU_SCORES = 2**20  # elements of the largest intermediate matrix on a CPU: 4 MiB is faster than 32 MiB
DEVICE_SCORES = 2**26  # on other devices
HASH_FACTOR = 0x5851F42D4C957F2D  # odd; the multiplier of Knuth's MMIX generator


class CodebookCodec(Component):
    """Base class of codecs that list their codewords. A subclass needs a docstring, a `name`, and `codebook`."""

    layout: Layout = Field("patch-major", description="order in which tokens fill the image")

    @abstractmethod
    def codebook(self, vocab_size: int) -> Tensor:
        """Return distinct codewords [vocab_size, n] uint8. Byte b stands for x = b / 127.5 - 1.

        A token owns ceil(n / 3) pixels. Its bytes fill them in the order R, G, B, R, G, B, ...; gray fills the rest of the
        last pixel. Raise ManifestError if the vocabulary is too large for the settings.
        """

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = WORKING_FOLDER) -> ImageCodec:
        """Return the codec. Raises ManifestError if no token fits, PluginError for an invalid codebook."""
        del files  # the settings determine the codebook
        words = self.codebook(vocab_size)
        if words.dtype != torch.uint8 or words.ndim != 2 or len(words) != vocab_size or not words.numel():
            found = f"a codebook of shape {tuple(words.shape)} and type {words.dtype}"
            expected = f"shape ({vocab_size}, n) with n >= 1 and type torch.uint8"
            raise PluginError(found, expected, file=f"codec {self.name}")
        try:
            codebook = TableCodebook(words)
        except ValueError as error:
            raise PluginError(str(error), "a different codeword for each token", file=f"codec {self.name}") from error
        return ImageCodec(codebook, self.layout, image_size, patch_size)


class TableCodebook(Codebook):
    """Codewords without structure: found by hash if a match is exact, otherwise by comparison with all of them."""

    def __init__(self, words: Tensor) -> None:
        """Use the codewords [V, n] uint8. Raises ValueError if two tokens have the same codeword."""
        super().__init__(words)
        keys, order = _hash(words).sort()
        for index in (keys[1:] == keys[:-1]).nonzero()[:, 0].tolist():
            one, other = int(order[index]), int(order[index + 1])
            if torch.equal(words[one], words[other]):
                raise ValueError(f"the same codeword for tokens {one} and {other}")
        self._table, self._keys, self._order = Constant(words), Constant(keys), Constant(order)

    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""
        num_scores = CPU_SCORES if values.device.type == "cpu" else DEVICE_SCORES
        chunks = torch.split(values, max(1, num_scores // len(self.words)))
        return torch.cat([self.scores(chunk).max(1).indices for chunk in chunks])  # three times as fast as argmax

    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""
        return torch.cat([self._look_up(part) for part in torch.split(words, LOOKUP_ROWS)])

    @cached_property
    def margin(self) -> float:
        """Half the smallest Euclidean distance between two codewords, in units of x; infinite for one codeword."""
        # |2 b - 255| is at most 255, so float32 adds up to 85 products of two such values without rounding.
        exact = torch.float32 if self.words.shape[1] <= 85 else torch.float64
        doubled = self.words.to(exact) * 2 - 255
        norms, smallest = doubled.square().sum(1), torch.inf
        rows = max(1, CPU_SCORES // len(doubled))
        for start in range(0, len(doubled), rows):
            part = slice(start, start + rows)
            squared = torch.addmm(norms[start:], doubled[part], doubled[start:].T, alpha=-2)
            squared += norms[part, None]
            squared.fill_diagonal_(torch.inf)  # ignore the distance of a codeword to itself
            smallest = min(smallest, squared.min().item())
        return float(smallest**0.5) / 255 / 2

    def _look_up(self, words: Tensor) -> Tensor:
        order = self._order.on(words.device)
        index = torch.searchsorted(self._keys.on(words.device), _hash(words)).clamp_(max=len(order) - 1)
        ids = order[index]
        inexact = (self._table.on(words.device)[ids] != words).any(1).nonzero()[:, 0]
        if len(inexact):
            ids[inexact] = self.nearest(words[inexact].float() / 127.5 - 1)
        return ids


def _hash(words: Tensor) -> Tensor:
    """Return a hash [N] int64 of each row of `words` [N, n] uint8, by Horner's rule modulo 2**64."""
    keys = torch.zeros(len(words), dtype=torch.int64, device=words.device)
    for column in words.unbind(1):
        keys.mul_(HASH_FACTOR).add_(column)
    return keys


NOTE = "jitkit.tokenizer"


class StoredCodebook(NamedTuple):
    """The content of a codebook file."""

    codebook: TableCodebook
    tokenizer_fingerprint: str  # "" if the codebook fits any tokenizer


def codebook_bytes(words: Tensor, tokenizer_fingerprint: str) -> bytes:
    """Return the file of codewords [V, n] uint8. Gray fills the rest of the last pixel."""
    pixels = nn.functional.pad(words, (0, -words.shape[1] % 3), value=GRAY)
    return png_bytes(pixels.view(len(words), -1, 3), {NOTE: tokenizer_fingerprint})


def parse_codebook(data: bytes, vocab_size: int, *, file: object) -> StoredCodebook:
    """Return the codebook in the content of a file, which errors call `file`.

    Raises InputError for a damaged file, a number of rows other than `vocab_size`, or two equal rows; RefusedError for an
    implausible size.
    """
    expected = f"an 8-bit RGB PNG {vocab_size} pixels high, one row per token id"
    picture = parse_picture(data, height=vocab_size, file=file, expected=expected)
    try:
        codebook = TableCodebook(picture.flatten(1))
    except ValueError as error:
        raise InputError(str(error), "a different codeword for each token", file=file) from error
    return StoredCodebook(codebook, read_note(data, NOTE) or "")
