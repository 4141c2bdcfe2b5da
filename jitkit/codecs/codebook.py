"""A codec is a codebook plus a layout. Here: any codebook, given as a table of bytes, one row a token."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from jitkit.codecs.codewords import Constant, Scores
from jitkit.codecs.image_codec import ImageCodec
from jitkit.codecs.layout import Layout
from jitkit.component import Component
from jitkit.errors import PluginError
from jitkit.files import HERE, Files

ROWS_AT_ONCE = 2**14  # codewords that are looked up at once: they stay in a CPU's cache
SCORES_IN_CACHE = 2**20  # size of the largest intermediate matrix on a CPU: 4 MiB are faster than 32
SCORES_AT_ONCE = 2**26  # on other devices
HASH_FACTOR = 0x5851F42D4C957F2D  # odd; the multiplier of Knuth's MMIX generator


class CodebookCodec(Component):
    """Base of codecs that list their codewords. A subclass needs a docstring, a `name` and `codebook`."""

    layout: Annotated[Layout, Field(description="order in which tokens fill the image")] = "patch-major"

    @abstractmethod
    def codebook(self, vocab_size: int) -> Tensor:
        """Return the codewords [vocab_size, n] uint8, all different; byte b stands for x = b / 127.5 - 1.

        A token owns ceil(n / 3) pixels; its bytes fill them as R, G, B, R, G, B, ..., and a last pixel that is not
        full is filled up with grey. Raise ManifestError where the vocabulary is too large for the settings.
        """

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = HERE) -> ImageCodec:
        """Return the codec. Raises ManifestError where it does not fit, PluginError for a broken codebook."""
        del files  # such a codec follows from its settings alone
        words = self.codebook(vocab_size)
        if words.dtype != torch.uint8 or words.ndim != 2 or len(words) != vocab_size or not words.numel():
            raise PluginError(
                f"a codebook of shape {tuple(words.shape)} and type {words.dtype}",
                f"shape ({vocab_size}, n) with n >= 1 and type torch.uint8",
                file=f"codec {self.name}",
            )
        try:
            codebook = TableCodebook(words)
        except ValueError as error:
            raise PluginError(str(error), "a codeword of its own for each token", file=f"codec {self.name}") from error
        return ImageCodec(codebook, self.layout, image_size, patch_size)


class TableCodebook:
    """Codewords without structure: looked up where they are exact, else compared with all of them."""

    def __init__(self, words: Tensor) -> None:
        """Take the codewords [V, n] uint8. Raises ValueError naming two tokens whose codewords are equal."""
        self.words = words
        self.scores = Scores(words)
        keys, order = _hash(words).sort()
        for place in (keys[1:] == keys[:-1]).nonzero()[:, 0].tolist():
            one, other = int(order[place]), int(order[place + 1])
            if torch.equal(words[one], words[other]):
                raise ValueError(f"one codeword for tokens {one} and {other}")
        self._table, self._keys, self._order = Constant(words), Constant(keys), Constant(order)

    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""
        at_once = SCORES_IN_CACHE if values.device.type == "cpu" else SCORES_AT_ONCE
        chunks = torch.split(values, max(1, at_once // len(self.words)))
        return torch.cat([self.scores(chunk).max(1).indices for chunk in chunks])  # three times as fast as argmax

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the mean codeword behind `values`, see `jitkit.codecs.codewords.Codebook`."""
        return self.scores.posterior_mean(values, variance)

    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""
        return torch.cat([self._look_up(part) for part in torch.split(words, ROWS_AT_ONCE)])

    @cached_property
    def margin(self) -> float:
        """Half the least Euclidean distance of two codewords, in units of x; infinite for a single codeword."""
        # 2 b - 255 is at most 255, so float32 adds such products without rounding for up to 85 numbers a token.
        exact = torch.float32 if self.words.shape[1] <= 85 else torch.float64
        doubled = self.words.to(exact) * 2 - 255
        norms, least = doubled.square().sum(1), torch.inf
        rows = max(1, SCORES_IN_CACHE // len(doubled))
        for start in range(0, len(doubled), rows):
            part = slice(start, start + rows)
            squared = torch.addmm(norms[start:], doubled[part], doubled[start:].T, alpha=-2)
            squared += norms[part, None]
            squared.fill_diagonal_(torch.inf)  # a codeword's distance to itself
            least = min(least, squared.min().item())
        return float(least**0.5) / 255 / 2

    def _look_up(self, words: Tensor) -> Tensor:
        order = self._order.on(words.device)
        place = torch.searchsorted(self._keys.on(words.device), _hash(words)).clamp_(max=len(order) - 1)
        ids = order[place]
        inexact = (self._table.on(words.device)[ids] != words).any(1).nonzero()[:, 0]
        if len(inexact):
            ids[inexact] = self.nearest(words[inexact].float() / 127.5 - 1)
        return ids


def _hash(words: Tensor) -> Tensor:
    """Return a hash [N] int64 of each row of `words` [N, n] uint8 (Horner's rule modulo 2**64)."""
    keys = torch.zeros(len(words), dtype=torch.int64, device=words.device)
    for column in words.unbind(1):
        keys.mul_(HASH_FACTOR).add_(column)
    return keys
