"""Token windows, one per image: consecutive ones for evaluation, shuffled ones for training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from jitkit.data.remote_tokens import RemoteTokens
from jitkit.data.token_stream import TokenStream
from jitkit.errors import InputError, counted


class Windows:
    """Windows of `length` tokens of a stream. A window is identified by the index of its first token."""

    def __init__(self, stream: TokenStream, length: int) -> None:
        """Raise InputError when the stream is shorter than one window."""
        if len(stream) < length:
            field, hint = "data", "Provide more text."
            if stream.split == "validation":
                field, hint = "data.validation_fraction", "Provide more text or increase the fraction."
            found = f"{counted(len(stream), 'token')} of {stream.split} text"
            raise InputError(found, f"at least {length}, one window", field=field, hint=hint)
        self.stream = stream
        self.length = length

    @property
    def consecutive(self) -> range:
        """Starts of adjacent windows that cover the whole stream. Padding fills the last window."""
        return range(0, len(self.stream), self.length)

    @property
    def per_epoch(self) -> int:
        """Number of training windows per epoch."""
        return len(self.stream) // self.length

    def batch_starts(self, seed: int, step: int, batch_size: int, rows: Sequence[int] | None = None) -> list[int]:
        """Return the starts of the windows in batch `step` (0, 1, ...), or in some of its rows, a pure function of the arguments.

        Each epoch divides the text into adjacent windows from its own offset and shuffles them, so no token repeats within
        an epoch. Fewer than `length` tokens are left out at each end, and a window that extends past the end is padded. A
        batch may contain windows of two epochs. There is no data loader state to save. A stream with spans, such as a
        remote one, is shuffled in two levels, see `span_place`, and learns which span is next.
        """
        num, size = self.per_epoch, self._span
        positions = [divmod(step * batch_size + row, num) for row in (range(batch_size) if rows is None else rows)]
        offsets = {epoch: self._offset(seed, epoch) for epoch in {epoch for epoch, _ in positions}}
        if isinstance(self.stream.tokens, RemoteTokens):
            self.stream.tokens.announce(self._ranges(seed, positions[0], positions[-1]))
        places = ((epoch, span_place(position, num, size, seed, epoch)) for epoch, position in positions)
        return [offsets[epoch] + self.length * place for epoch, place in places]

    @property
    def _span(self) -> int:
        """Number of windows in a span: equal ones, the last of which may be shorter."""
        num = self.per_epoch
        if self.stream.span is None:
            return num
        return math.ceil(num / math.ceil(num * self.length / self.stream.span))

    def _ranges(self, seed: int, first: tuple[int, int], last: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the tokens (start, stop) of the spans from the one of position `first` (epoch, position) to the one after
        that of `last`.
        """
        num, size = self.per_epoch, self._span
        per_epoch = math.ceil(num / size)
        spans = [epoch * per_epoch + position // size for epoch, position in (first, last)]
        ranges = []
        for epoch, span in (divmod(number, per_epoch) for number in range(spans[0], spans[1] + 2)):
            chosen = span_place(span * size, num, size, seed, epoch) // size
            start = self._offset(seed, epoch) + self.length * size * chosen
            ranges.append((start, start + self.length * size))
        return ranges

    def _offset(self, seed: int, epoch: int) -> int:
        """Return the start of the first window of an epoch: 0 in epoch 0, and each offset once in `length` epochs.

        It is always 0 when every document starts a window.
        """
        if not self.stream.packed:
            return 0
        cycle, position = divmod(epoch, self.length)
        return (permuted(position, self.length, seed, cycle) - permuted(0, self.length, seed, 0)) % self.length

    def tokens(self, starts: Iterable[int]) -> Tensor:
        """Return the windows [n, L] int64 at `starts`, padded at the end. Raises IndexError for one outside the stream."""
        indices = list(starts)
        if indices and not 0 <= min(indices) <= max(indices) < len(self.stream):
            raise IndexError(f"window at {min(indices)}..{max(indices)} of {counted(len(self.stream), 'token')}")
        windows = np.full((len(indices), self.length), self.stream.pad_id, dtype=np.int64)
        for row, start in zip(windows, indices, strict=True):
            window = self.stream.tokens[start : start + self.length]
            row[: len(window)] = window
        return torch.from_numpy(windows)


def span_place(position: int, num: int, size: int, seed: int, epoch: int) -> int:
    """Return the window at `position` of an epoch of `num` windows that are shuffled in spans of `size` windows.

    The spans are in a shuffled order, and the windows are shuffled within each. A last span with fewer windows comes last.
    """
    if size >= num:
        return permuted(position, num, seed, epoch)
    order, inside = divmod(position, size)
    full = num // size
    span = permuted(order, full, seed, epoch) if order < full else full
    own_seed = _mix(_mix(seed & _MASK) + span & _MASK)
    return span * size + permuted(inside, min(size, num - span * size), own_seed, epoch)


_MASK = (1 << 64) - 1
_ROUNDS = 6


def permuted(position: int, size: int, seed: int, epoch: int) -> int:
    """Return the element at `position` of shuffle number `epoch` of range(size), in O(1) time and memory.

    A balanced Feistel network permutes the smallest range 4^h >= size. A result outside range(size) goes through it again
    ("cycle walking", Black and Rogaway 2002), at most four times on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    key = _mix(_mix(seed & _MASK) + epoch & _MASK)  # asymmetric: (seed 1, epoch 2) differs from (seed 2, epoch 1)
    index = position
    while True:
        index = _feistel(index, half, key)
        if index < size:
            return index


def _feistel(value: int, half: int, key: int) -> int:
    low_bits = (1 << half) - 1
    left, right = value >> half, value & low_bits
    for number in range(_ROUNDS):
        left, right = right, left ^ (_mix(key + (number << 56) + right & _MASK) & low_bits)
    return left << half | right


def _mix(value: int) -> int:
    """Return a 64-bit hash (finalizer of SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
