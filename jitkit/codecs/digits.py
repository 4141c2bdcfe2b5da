"""Digit codes: the number of a token in some base, one digit a number of its codeword. Decoding costs O(digits)."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from jitkit.codecs.codewords import Constant, Scores
from jitkit.codecs.image_codec import ImageCodec
from jitkit.codecs.layout import Layout
from jitkit.component import Component
from jitkit.errors import ManifestError
from jitkit.files import HERE, Files

ROWS_AT_ONCE = 2**14  # intermediate results of so many codewords stay in a CPU's cache
FAR = 1e9  # stands for infinite numbers, whose distances could not be compared
MAX_CODES = 2**53  # whole numbers up to here are exact in float64, which digits are summed in


Order = Literal["binary", "gray"]
OrderField = Annotated[
    Order, Field(description="gray: neighbouring ids differ in one digit, by one step (reflected Gray code)")
]


class Digits(NamedTuple):
    """How a digit code writes: the byte of each digit, rising, the number of digits, the lowest first, and their order."""

    levels: Tensor  # [base] uint8
    num_digits: int
    order: Order = "binary"


def evenly_spaced(base: int) -> Tensor:
    """Return the bytes [base] uint8 of digits spread evenly over 0..255, rounded; 2 <= base <= 256."""
    steps = base - 1
    return ((torch.arange(base) * 510 + steps) // (2 * steps)).to(torch.uint8)


def smallest_base(codes: int, num_digits: int) -> int:
    """Return the smallest base >= 2 in which `num_digits` digits spell at least `codes` numbers."""
    base = max(2, round(math.pow(codes, 1 / num_digits)) - 1)
    while base**num_digits < codes:
        base += 1
    return base


class DigitCodec(Component):
    """Base of codecs that write a token's id digit by digit. A subclass needs a docstring, a `name` and `digits`."""

    layout: Annotated[Layout, Field(description="order in which tokens fill the image")] = "patch-major"

    @abstractmethod
    def digits(self, vocab_size: int) -> Digits:
        """Return levels and number of digits for ids below `vocab_size`."""

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = HERE) -> ImageCodec:
        """Return the codec. Raises ManifestError where the vocabulary or a token does not fit."""
        del files  # such a codec follows from its settings alone
        levels, num_digits, order = self.digits(vocab_size)
        codes = len(levels) ** num_digits
        if vocab_size > codes:
            raise ManifestError(
                f"a vocabulary of {vocab_size}",
                f"at most {codes}, which {num_digits} digits of base {len(levels)} can write",
            )
        if codes > MAX_CODES:
            raise ManifestError(f"{num_digits} digits of base {len(levels)}", "at most 2**53 digit strings")
        return ImageCodec(DigitCodebook(levels, num_digits, vocab_size, order), self.layout, image_size, patch_size)


class DigitCodebook:
    """Codewords that are digits. Number j of token i is the level of digit ``i // base**j % base``.

    In the order `gray` a digit is turned round (d becomes base - 1 - d) where the number that the higher digits write is
    odd. So a step from id to id never carries: it moves one digit by one level. Which ids share their highest digits
    is the same in both orders.
    """

    def __init__(self, levels: Tensor, num_digits: int, vocab_size: int, order: Order = "binary") -> None:
        """Take the bytes of the digits [base] uint8, rising; vocab_size <= base ** num_digits <= 2**53."""
        self._base, self._num_digits, self._vocab_size = len(levels), num_digits, vocab_size
        self._gray = order == "gray"
        self._weights = torch.tensor([self._base**j for j in range(num_digits)])
        self._float_weights = Constant(self._weights.double())
        last = torch.tensor([vocab_size - 1])
        self._last, self._last_turned = Constant(self._digits_of(last)[0]), Constant(self._turned(last)[0])
        numbers = levels.double()
        self._levels = Constant(numbers)
        middles = (numbers[1:] + numbers[:-1]) / 2
        self._middles = Constant(middles.float() / 127.5 - 1)  # as `to_image` does, so that ties fall alike
        every_byte = torch.arange(256, dtype=torch.float64)
        self._digit_of_byte = Constant(torch.bucketize(every_byte, middles).double())
        self.words = levels[self._digits_of(torch.arange(vocab_size))]

    @cached_property
    def scores(self) -> Scores:
        """Scores of all codewords, see `jitkit.codecs.codewords.Scores`."""
        return Scores(self.words)

    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""
        middles = self._middles.on(values.device)
        return torch.cat([self._read(part, torch.bucketize(part, middles)) for part in _parts(values)])

    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""
        table = self._digit_of_byte.on(words.device)
        return torch.cat(
            [self._read(part, table.index_select(0, part.flatten().int()).view(part.shape)) for part in _parts(words)]
        )

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the mean codeword behind `values`, see `jitkit.codecs.codewords.Codebook`.

        Where every string of digits is a token they are independent, and each is looked at by itself: so a vocabulary of
        16,384 costs no more than its 14 bits. Otherwise by a softmax over all tokens.
        """
        if self._vocab_size < self._base**self._num_digits:
            return self.scores.posterior_mean(values, variance)
        levels = self._levels.on(values.device).float() / 127.5 - 1
        scores = values.float()[..., None] * levels - levels.square() / 2
        return ((scores / variance[..., None]).softmax(-1) * levels).sum(-1)  # no product, which autocast would blur

    @cached_property
    def margin(self) -> float:
        """Half the least Euclidean distance of two codewords, in units of x; infinite for a single codeword.

        Two codewords that differ most significantly in digit j are at least as far apart as two neighbouring levels
        of that digit. Ids ``d base**j`` and ``(d + 1) base**j`` are that near (in Gray code the latter and the id before
        it), so only these pairs count.
        """
        levels = self._levels.on(torch.device("cpu"))
        gaps = [
            (levels[d + 1] - levels[d]).item()
            for weight in self._weights.tolist()
            for d in range(min(self._base - 1, (self._vocab_size - 1) // weight))
        ]
        return min(gaps, default=torch.inf) / 127.5 / 2

    def _digits_of(self, ids: Tensor) -> Tensor:
        """Return the digits [N, n] int64 of `ids` [N] int64, the lowest first."""
        digits = ids[:, None] // self._weights % self._base
        return torch.where(self._turned(ids), self._base - 1 - digits, digits)

    def _turned(self, ids: Tensor) -> Tensor:
        """Return which digits of `ids` [N] int64 are turned round, [N, n] bool."""
        return (ids[:, None] // self._weights // self._base % 2 == 1) & self._gray

    def _ids_of(self, digits: Tensor) -> Tensor:
        """Return the numbers [N] int64 that `digits` [N, n] write."""
        if not self._gray:
            return (digits.double() @ self._float_weights.on(digits.device)).long()
        ids = torch.zeros(len(digits), dtype=torch.int64, device=digits.device)
        for digit in digits.long().unbind(1)[::-1]:
            ids = ids * self._base + torch.where(ids % 2 == 1, self._base - 1 - digit, digit)
        return ids

    def _read(self, numbers: Tensor, digits: Tensor) -> Tensor:
        """Return the nearest ids [N] int64 of `numbers` [N, n], bytes or in units of x, whose nearest digits are known."""
        ids = self._ids_of(digits)
        beyond = (ids >= self._vocab_size).nonzero()[:, 0]
        if len(beyond):
            strange = numbers[beyond].double().nan_to_num(0, posinf=FAR, neginf=-FAR)
            in_bytes = strange if numbers.dtype == torch.uint8 else (strange + 1) * 127.5
            ids[beyond] = self._ids_of(self._nearest_valid(in_bytes, digits[beyond].long()))
        return ids

    def _nearest_valid(self, numbers: Tensor, digits: Tensor) -> Tensor:
        """Return the nearest digits [N, n] of an id below V to `numbers` [N, n] float64, whose nearest `digits` write more.

        An id below V is V - 1 itself, or shares the digits of V - 1 above some place, has a smaller digit there (a larger
        one where it is turned round), and any digits below. That leaves one best candidate for each place: the digit
        on that side that is next to the nearest one, and the nearest digits below it.
        """
        levels, last = self._levels.on(numbers.device), self._last.on(numbers.device)
        places = torch.arange(self._num_digits, device=numbers.device)
        turned = self._last_turned.on(numbers.device)
        smaller = torch.where(turned, torch.maximum(digits, last + 1), torch.minimum(digits, last - 1))
        none = (smaller < 0) | (smaller >= self._base)  # where the digit of V - 1 is the first on its side
        smaller = smaller.clamp(0, self._base - 1)
        cost_last = (numbers - levels[last]).square()
        cost_smaller = (numbers - levels[smaller]).square().masked_fill(none, torch.inf)
        cost_free = (numbers - levels[digits]).square()
        above = cost_last.sum(1, keepdim=True) - cost_last.cumsum(1)
        below = cost_free.cumsum(1) - cost_free
        costs = torch.cat([cost_last.sum(1, keepdim=True), above + cost_smaller + below], 1)
        place = costs.argmin(1, keepdim=True) - 1  # -1: V - 1 itself
        return torch.where(places > place, last, torch.where(places == place, smaller, digits))


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    """Return `rows` in parts that are quick to work on."""
    return torch.split(rows.contiguous() if rows.is_floating_point() else rows, ROWS_AT_ONCE)
