"""The text of a whole window, in which several documents may follow each other."""

from __future__ import annotations

import codecs
import unicodedata

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


def nfc(text: bytes) -> str:
    """Return the NFC code points of a window; its ends may cut a character, which then reads as U+FFFD."""
    return unicodedata.normalize("NFC", text.decode("utf-8", errors="replace"))


def is_utf8(data: bytes) -> bool:
    """Tell whether `data` is a piece of UTF-8; characters that its ends cut in two are forgiven."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:  # the rest of a character that begins before
        start += 1
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data[start:], final=False)
    except UnicodeDecodeError:
        return False
    return True
