"""Bits per token, per character, and per byte of windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from jitkit.documents.rows import Row
from jitkit.errors import InputError
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.protocols import Tokenizer


@dataclass(frozen=True)
class TextSizes:
    """The size of each window's text; eos is a token without characters, padding does not count."""

    sizes: dict[str, list[float]]  # by the name of the figure that is divided by it

    @classmethod
    def of(cls, windows: Tensor, tokenizer: Tokenizer) -> Self:
        """Return the sizes of `windows` [N, L]. Raises InputError for windows without a character."""
        ids = [[token for token in row if token != tokenizer.pad_id] for row in windows.tolist()]
        texts = [tokenizer.decode_bytes(row) for row in ids]
        if not any(texts):
            raise InputError("held-out windows without a character", "text")
        return cls(
            {
                "bits_per_token": [float(len(row)) for row in ids],
                "bits_per_character": [float(_num_characters(text)) for text in texts],
                "bits_per_byte": [float(len(text)) for text in texts],
            }
        )

    def row(self, name: str, bits: Tensor, seed: int) -> Row:
        """Return the row called `name` for `bits` [N] per window, with 95 % intervals."""
        figures: dict[str, float | str] = {"part": name}
        for key, size in self.sizes.items():
            figures |= ratio_with_interval(key, bits.tolist(), size, seed)
        return {**figures, "windows": len(bits)}


def as_trained(context: EvaluationContext, windows: Tensor) -> Tensor:
    """Return the windows that resemble training data: with `train.pack`, those without padding."""
    pipeline = context.pipeline
    return windows[(windows != pipeline.tokenizer.pad_id).all(1)] if pipeline.manifest.train.pack else windows


def _num_characters(text: bytes) -> int:
    """Return how many characters start in `text`; a character cut by a window's end belongs to where it starts."""
    return sum(byte & 0xC0 != 0x80 for byte in text)
