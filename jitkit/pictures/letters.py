"""Map token values to the letters of a text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from itertools import groupby

from jitkit.protocols import Tokenizer


def letters(tokenizer: Tokenizer, ids: Sequence[int], values: Sequence[float]) -> list[tuple[str, float]]:
    """Return the text of `ids` up to the first eos, in pieces with equal `values`.

    A letter that spans several tokens gets the value of the last one. Invalid UTF-8 becomes U+FFFD.
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
