"""Digit codes: a codeword is the token id in some base, one value per digit. Decoding takes O(digits)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from jitkit.codecs.codewords import Codebook, Constant
from jitkit.execution.precision import widest_float

CHUNK_ROWS = 2**14  # codewords per batch, whose intermediate results fit the cache of a CPU
FAR = 1e9  # replaces infinite values, since their distances cannot be compared

Order = Literal["binary", "gray"]
"""Order of codewords. `gray` gave the same likelihood as `binary`, but worse texts at equal entropy (`bits`, three seeds).

In `gray` order, digit d becomes base - 1 - d if the number formed by the higher digits is odd. Then consecutive ids differ
in one digit, by one level. Ids share their highest digits in both orders alike.
"""

OrderField = Annotated[
    Order, Field(description="gray: consecutive ids differ in one digit, by one level (reflected Gray code)")
]


class Digits(NamedTuple):
    """The parameters of a digit code. Digits are ordered from least to most significant."""

    levels: Tensor  # [base] uint8, the byte of each digit, ascending
    num_digits: int
    order: Order = "binary"


def evenly_spaced(base: int) -> Tensor:
    """Return `base` bytes, [base] uint8, evenly spaced over 0..255 and rounded; 2 <= base <= 256."""
    steps = base - 1
    return ((torch.arange(base) * 510 + steps) // (2 * steps)).to(torch.uint8)


def smallest_base(codes: int, num_digits: int) -> int:
    """Return the smallest base >= 2 with at least `codes` strings of `num_digits` digits."""
    base = max(2, round(math.pow(codes, 1 / num_digits)) - 1)
    while base**num_digits < codes:
        base += 1
    return base


class DigitCodebook(Codebook):
    """Codewords made of digits: value j of token i is the level of digit ``i // base**j % base``. See `Order`."""

    def __init__(self, levels: Tensor, num_digits: int, vocab_size: int, order: Order = "binary") -> None:
        """Use `levels` [base] uint8, ascending. Requires vocab_size <= base ** num_digits <= 2**53."""
        self._base, self._num_digits, self._vocab_size = len(levels), num_digits, vocab_size
        self._gray = order == "gray"
        self._weights = torch.tensor([self._base**j for j in range(num_digits)])
        self._int_weights, self._float_weights = Constant(self._weights), Constant(self._weights.double())
        last = torch.tensor([vocab_size - 1])
        self._last, self._last_reversed = Constant(self._digits_of(last)[0]), Constant(self._reversed(last)[0])
        values = levels.float()
        self._levels = Constant(values)
        middles = (values[1:] + values[:-1]) / 2
        self._middles = Constant(middles / 127.5 - 1)  # rounded like `to_image`, so that ties are broken alike
        self._digit_of_byte = Constant(torch.bucketize(torch.arange(256.0), middles))
        super().__init__(levels[self._digits_of(torch.arange(vocab_size))])

    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""
        middles, parts = self._middles.on(values.device), torch.split(values.contiguous(), CHUNK_ROWS)
        return torch.cat([self._nearest_ids(part, torch.bucketize(part, middles)) for part in parts])

    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""
        table = self._digit_of_byte.on(words.device)
        parts = torch.split(words, CHUNK_ROWS)
        digits = (table.index_select(0, part.flatten().int()).view(part.shape) for part in parts)
        return torch.cat(list(map(self._nearest_ids, parts, digits)))

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the posterior mean of the codeword, see `Codebook`; digit by digit if every string of digits is a token."""
        if self._vocab_size < self._base**self._num_digits:
            return super().posterior_mean(values, variance)
        levels = self._levels.on(values.device) / 127.5 - 1
        scores = values.float()[..., None] * levels - levels.square() / 2
        # Not a matrix product, which autocast would round.
        return ((scores / variance[..., None]).softmax(-1) * levels).sum(-1)

    @cached_property
    def margin(self) -> float:
        """Half the smallest Euclidean distance between two codewords, in units of x; infinite for one codeword."""
        # Codewords whose most significant difference is in digit j are at least two adjacent levels of that digit apart.
        # Ids d base**j and (d + 1) base**j (in Gray order, the latter and its predecessor) attain this distance.
        levels = self._levels.on(torch.device("cpu"))
        gaps = [
            (levels[d + 1] - levels[d]).item()
            for weight in self._weights.tolist()
            for d in range(min(self._base - 1, (self._vocab_size - 1) // weight))
        ]
        return min(gaps, default=torch.inf) / 127.5 / 2

    def _digits_of(self, ids: Tensor) -> Tensor:
        """Return the digits [N, n] int64 of `ids` [N] int64."""
        digits = ids[:, None] // self._weights % self._base
        return torch.where(self._reversed(ids), self._base - 1 - digits, digits)

    def _reversed(self, ids: Tensor) -> Tensor:
        """Return which digits of `ids` [N] int64 are reversed by Gray order, [N, n] bool."""
        return (ids[:, None] // self._weights // self._base % 2 == 1) & self._gray

    def _ids_of(self, digits: Tensor) -> Tensor:
        """Return the ids [N] int64 of `digits` [N, n]."""
        if not self._gray and widest_float(digits.device) == torch.float64:
            return (digits.double() @ self._float_weights.on(digits.device)).long()
        if not self._gray:  # float32 could not hold ids above 2^24
            return (digits.long() * self._int_weights.on(digits.device)).sum(1)
        ids = torch.zeros(len(digits), dtype=torch.int64, device=digits.device)
        for digit in digits.long().unbind(1)[::-1]:
            ids = ids * self._base + torch.where(ids % 2 == 1, self._base - 1 - digit, digit)
        return ids

    def _nearest_ids(self, values: Tensor, digits: Tensor) -> Tensor:
        """Return the nearest ids [N] int64 of `values` [N, n], in bytes or units of x, given their nearest `digits`."""
        ids = self._ids_of(digits)
        invalid = (ids >= self._vocab_size).nonzero()[:, 0]
        if len(invalid):
            finite = values[invalid].to(widest_float(values.device)).nan_to_num(0, posinf=FAR, neginf=-FAR)
            in_bytes = finite if values.dtype == torch.uint8 else (finite + 1) * 127.5
            ids[invalid] = self._ids_of(self._nearest_valid(in_bytes, digits[invalid].long()))
        return ids

    def _nearest_valid(self, values: Tensor, digits: Tensor) -> Tensor:
        """Return the digits [N, n] of the nearest valid ids to `values` [N, n] float64, whose nearest `digits` are invalid.

        An id below V is V - 1 itself, or it equals V - 1 above some digit j, has a smaller digit j (a larger one if digit j
        is reversed), and arbitrary digits below. So there is one best candidate for each j: the closest allowed digit j,
        and the nearest digits below it.
        """
        levels, last = self._levels.on(values.device), self._last.on(values.device)
        positions = torch.arange(self._num_digits, device=values.device)
        is_reversed = self._last_reversed.on(values.device)
        smaller = torch.where(is_reversed, torch.maximum(digits, last + 1), torch.minimum(digits, last - 1))
        impossible = (smaller < 0) | (smaller >= self._base)
        smaller = smaller.clamp(0, self._base - 1)
        cost_last = (values - levels[last]).square()
        cost_smaller = (values - levels[smaller]).square().masked_fill(impossible, torch.inf)
        cost_free = (values - levels[digits]).square()
        above = cost_last.sum(1, keepdim=True) - cost_last.cumsum(1)
        below = cost_free.cumsum(1) - cost_free
        costs = torch.cat([cost_last.sum(1, keepdim=True), above + cost_smaller + below], 1)
        j = costs.argmin(1, keepdim=True) - 1  # -1: the id V - 1
        return torch.where(positions > j, last, torch.where(positions == j, smaller, digits))
