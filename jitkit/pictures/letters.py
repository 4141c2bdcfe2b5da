"""Which letter comes from which token."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from itertools import groupby

from jitkit.protocols import Tokenizer


def letters(tokenizer: Tokenizer, ids: Sequence[int], values: Sequence[float]) -> list[tuple[str, float]]:
    """Return the text of `ids` up to the first eos, in pieces whose letters have the same value.

    A token may hold several letters, or a part of one, which then has the value of the token that ends it. Bytes that are
    no UTF-8 become U+FFFD.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    end = list(ids).index(tokenizer.eos_id) if tokenizer.eos_id in ids else len(ids)
    parts = [
        (decoder.decode(tokenizer.decode_bytes([token])), value)
        for token, value in zip(ids[:end], values[:end], strict=True)
    ]
    if end:
        parts.append((decoder.decode(b"", final=True), values[end - 1]))
    grouped = groupby((part for part in parts if part[0]), key=lambda part: part[1])
    return [("".join(text for text, _ in group), value) for value, group in grouped]
