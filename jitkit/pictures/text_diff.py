"""Differences between two versions of a text."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

Span = tuple[str, bool]
"""Some characters, and whether they changed."""


def diff_spans(text: str, reference: str) -> list[Span]:
    """Return `text` in spans, each with whether it differs from `reference` in a minimal edit script."""
    return [
        (text[edit.dest_start : edit.dest_end], edit.tag != "equal")
        for edit in Levenshtein.opcodes(reference, text)
        if edit.dest_end > edit.dest_start
    ]
