"""A shuffled order that is computed, not stored."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_ROUNDS = 6


def permuted(position: int, size: int, seed: int, epoch: int) -> int:
    """Return the index that stands at `position` of shuffle number `epoch` of range(size).

    For fixed (size, seed, epoch) it is a bijection of range(size); each costs O(1) time and no memory. A balanced Feistel
    network permutes the smallest 4^h >= size numbers; a result outside the range is sent through it again ("cycle
    walking", Black and Rogaway 2002), four times at the most on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    key = _mix(_mix(seed & _MASK) + epoch & _MASK)  # not symmetric: seed 1, epoch 2 is another order than 2, 1
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
    """Return 64 well-stirred bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
