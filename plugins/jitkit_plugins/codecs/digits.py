"""Digits of the smallest sufficient base, spread over the whole color range."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

from pydantic import Field

from jitkit.codecs.digit_codec import DigitCodec
from jitkit.codecs.digits import Digits, OrderField, evenly_spaced, smallest_base
from jitkit.errors import ManifestError, counted


class StretchedDigits(DigitCodec):
    """The id in a small base, with each digit spread over the whole color range."""

    name: ClassVar[str] = "digits"

    numbers: int | None = Field(None, ge=1, le=53, description="digits per token; default: 3, one pixel")
    base: int | None = Field(None, ge=2, le=256, description="default: the smallest that fits the vocabulary")
    order: OrderField = "binary"

    def digits(self, vocab_size: int) -> Digits:
        """Return the digit code. Parameters that are not set are as small as the vocabulary allows."""
        if self.base is not None:
            return Digits(evenly_spaced(self.base), self.numbers or _length(vocab_size, self.base), self.order)
        numbers = self.numbers or 3
        base = smallest_base(vocab_size, numbers)
        if base > 256:
            expected = f"at least {_length(vocab_size, 256)} for a vocabulary of {vocab_size}"
            raise ManifestError(f"{counted(numbers, 'value')} per token", expected, field="numbers")
        return Digits(evenly_spaced(base), numbers, self.order)


def _length(vocab_size: int, base: int) -> int:
    """Return how many digits of `base` every id needs."""
    return next(length for length in count(1) if base**length >= vocab_size)
