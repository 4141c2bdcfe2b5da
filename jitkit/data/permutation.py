"""A shuffled order that is computed instead of stored."""

from __future__ import annotations

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
