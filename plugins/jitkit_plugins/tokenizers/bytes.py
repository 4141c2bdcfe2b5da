"""UTF-8 bytes as tokens."""

from __future__ import annotations

from typing import ClassVar

from jitkit.component import Component
from jitkit.files import Files
from jitkit_plugins.tokenizers.pieces import PieceTokenizer


class BytesTokenizer(Component):
    """The 256 byte values, then eos (256) and pad (257). Works for any language without a vocabulary file."""

    name: ClassVar[str] = "bytes"

    def build(self, files: Files) -> PieceTokenizer:
        """Return the tokenizer."""
        return PieceTokenizer(
            tuple(bytes([byte]) for byte in range(256)), lambda text: list(text.encode()), rule="bytes"
        )
