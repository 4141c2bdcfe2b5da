"""The text of a window, which may hold several documents."""

from __future__ import annotations

import codecs
import unicodedata

from torch import Tensor

from jitkit.protocols import Tokenizer

END = "\x03"  # ASCII "end of text": stands for one eos


def window_bytes(tokenizer: Tokenizer, tokens: Tensor) -> bytes:
    """Return the bytes of a window's tokens [L] int64, without padding and with `END` for every eos."""
    documents: list[list[int]] = [[]]
    for token in tokens.tolist():
        if token == tokenizer.eos_id:
            documents.append([])
        else:
            documents[-1].append(token)
    return END.encode().join(tokenizer.decode_bytes(ids) for ids in documents)


def nfc(text: bytes) -> str:
    """Return text as NFC code points; characters cut by the ends of a window become U+FFFD."""
    return unicodedata.normalize("NFC", text.decode("utf-8", errors="replace"))


def is_utf8(data: bytes) -> bool:
    """Return whether `data` is UTF-8, ignoring characters cut by its ends."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:  # the rest of a cut character
        start += 1
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data[start:], final=False)
    except UnicodeDecodeError:
        return False
    return True
