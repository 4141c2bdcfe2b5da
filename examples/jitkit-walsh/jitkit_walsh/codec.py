"""A codec made of Walsh functions, the code in which Mariner 9 sent its pictures of Mars."""

from __future__ import annotations

from typing import ClassVar, Literal

import jitkit
import torch
from pydantic import Field


class WalshCodec(jitkit.CodebookCodec):
    """Waves: each digit of an id is a Walsh function or its negative."""

    name: ClassVar[str] = "walsh"

    length: Literal[4, 8, 16, 32] = Field(16, description="values per digit; the base is twice that")

    def codebook(self, vocab_size: int) -> torch.Tensor:
        """Return the waves [vocab_size, n]. Different digits differ in half of their values, or in all."""
        waves = torch.ones(1, 1)
        while len(waves) < self.length:
            waves = torch.cat([torch.cat([waves, waves], 1), torch.cat([waves, -waves], 1)])
        digits = torch.cat([waves, -waves])  # [base, length]
        ids, words = torch.arange(vocab_size), torch.zeros(vocab_size, 0)
        while ids.any() or not words.numel():
            words = torch.cat([words, digits[ids % len(digits)]], 1)
            ids = ids // len(digits)
        return ((words + 1) * 127.5).to(torch.uint8)
