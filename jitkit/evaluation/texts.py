"""Texts: of windows, which may hold several documents, and of training documents; the script of a character."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from torch import Tensor

from jitkit.errors import InputError
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


def require_characters(texts: Iterable[str | bytes]) -> None:
    """Raise InputError if all `texts`, those of held-out windows, are empty."""
    if not any(texts):
        raise InputError("held-out windows without a character", "text")


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


MAX_CHARACTERS = 2**22

TrainingDocuments = Callable[[], Iterable[str]]
"""Returns the documents of the training split, the same ones each time."""


def joined_text(documents: TrainingDocuments, max_characters: int = MAX_CHARACTERS) -> str:
    """Return the documents, each ended by `END`; if they exceed `max_characters`, the same share of each, its beginning."""
    total = sum(len(document) for document in documents())
    share = min(1.0, max_characters / max(total, 1))
    return "".join(document[: round(share * len(document))] + END for document in documents())


COMMON = "common"  # spaces, digits, punctuation, symbols: shared by all scripts

# Python's database lacks the property Script. The name of a letter starts with its script, except for these first words.
_FORMS = {"fullwidth": 1, "halfwidth": 1, "modifier": -1, "combining": -1, "mathematical": -1, "ideographic": -1}


@cache
def script_of(character: str) -> str:
    """Return the script of a letter or mark: the first word of its Unicode name ("latin", "cjk"), else `COMMON`."""
    words = unicodedata.name(character, "").lower().split()
    place = _FORMS.get(words[0], 0) if words else -1
    is_letter_or_mark = unicodedata.category(character)[0] in "LM"
    return words[place] if is_letter_or_mark and 0 <= place < len(words) else COMMON
