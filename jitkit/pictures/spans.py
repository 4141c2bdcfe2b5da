"""Texts in spans: pieces that changed, or pieces with the value of their tokens."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from itertools import groupby

from rapidfuzz.distance import Levenshtein

from jitkit.protocols import Tokenizer

Span = tuple[str, bool]
"""Some characters, and whether they changed."""


def diff_spans(text: str, reference: str) -> list[Span]:
    """Return `text` in spans, each with whether it differs from `reference` in a minimal edit script."""
    return [
        (text[edit.dest_start : edit.dest_end], edit.tag != "equal")
        for edit in Levenshtein.opcodes(reference, text)
        if edit.dest_end > edit.dest_start
    ]


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
