"""The codec of the first experiment with token images, kept for comparison."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from jitkit.codecs.digit_codec import DigitCodec
from jitkit.codecs.digits import Digits
from jitkit.codecs.layout import Layout


class Base256(DigitCodec):
    """One pixel per token: R = id % 256, G = id // 256 % 256, B = id // 65536."""

    name: ClassVar[str] = "base256"

    layout: Layout = Field("raster", description="order in which tokens fill the image")

    def digits(self, vocab_size: int) -> Digits:
        """Return three digits of base 256. Usual vocabularies use little of the range of B."""
        return Digits(torch.arange(256, dtype=torch.uint8), 3)
