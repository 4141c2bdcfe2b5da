"""Binary ids, as in analog bits (Chen, Zhang, Hinton: arXiv 2208.04202)."""

from __future__ import annotations

from typing import ClassVar

from jitkit.codecs.digit_codec import DigitCodec
from jitkit.codecs.digits import Digits, OrderField, evenly_spaced


class Bits(DigitCodec):
    """The bits of the id, lowest first, each 0 or 255."""

    name: ClassVar[str] = "bits"

    order: OrderField = "binary"

    def digits(self, vocab_size: int) -> Digits:
        """Return ceil(log2 V) binary digits with the bytes 0 and 255."""
        return Digits(evenly_spaced(2), max(1, (vocab_size - 1).bit_length()), self.order)
