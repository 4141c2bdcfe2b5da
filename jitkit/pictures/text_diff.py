"""What became of a text since it was last looked at."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

Span = tuple[str, bool]
"""Some letters, and whether they changed."""


def diff_spans(text: str, reference: str) -> list[Span]:
    """Return `text` in pieces, each with whether it differs from `reference` (by the fewest edits)."""
    return [
        (text[edit.dest_start : edit.dest_end], edit.tag != "equal")
        for edit in Levenshtein.opcodes(reference, text)
        if edit.dest_end > edit.dest_start
    ]
