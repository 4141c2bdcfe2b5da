"""The text of a whole window, in which several documents may follow each other."""

from __future__ import annotations

from torch import Tensor

from jitkit.protocols import Tokenizer

END_OF_DOCUMENT = b"\x03"  # ASCII "end of text": one character stands for one eos


def window_bytes(tokenizer: Tokenizer, tokens: Tensor) -> bytes:
    """Return the bytes of a window's tokens [L] int64: padding left out, every eos as `END_OF_DOCUMENT`."""
    documents: list[list[int]] = [[]]
    for token in tokens.tolist():
        if token == tokenizer.eos_id:
            documents.append([])
        else:
            documents[-1].append(token)
    return END_OF_DOCUMENT.join(tokenizer.decode_bytes(ids) for ids in documents)
