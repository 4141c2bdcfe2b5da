"""Infilling templates: ``"To be, [[...]] that is the question"``.

``[[12]]`` is a hole of 12 tokens. Open holes ``[[...]]`` share the rest of the image equally; the first ones get the
remainder. A template starts at the beginning of the image. If it has no open hole and is shorter than the image, the model
continues after it, as after a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jitkit.errors import UsageError, counted, shown
from jitkit.protocols import Tokenizer

_HOLE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Hole:
    """A hole for the model to fill; `tokens` is None for an open hole."""

    tokens: int | None


def require_one(prompt: str | None, infill: str | None) -> None:
    """Raise UsageError if there are both a prompt and a template."""
    if prompt is not None and infill is not None:
        raise UsageError("--prompt and --infill", "one of them", field="--infill", hint="A prompt is 'TEXT[[...]]'.")


def parse_template(template: str) -> list[str | Hole]:
    """Return the pieces of a template in order: known text (never empty) and holes.

    Raises UsageError if there is no hole, or one that is neither ``[[...]]`` nor ``[[N]]`` with N >= 1.
    """
    pieces: list[str | Hole] = []
    for index, piece in enumerate(_HOLE.split(template)):
        if index % 2:
            pieces.append(_hole(piece))
        elif piece:
            pieces.append(piece)
    if not any(isinstance(piece, Hole) for piece in pieces):
        raise UsageError(f"no hole in {shown(template)}", "at least one hole, [[...]] or [[12]]", field="--infill")
    return pieces


def fit_template(pieces: Sequence[str | Hole], tokenizer: Tokenizer, length: int) -> tuple[list[int], list[bool]]:
    """Return the ids of an image of `length` tokens, with pad for unknown tokens, and which of them are known.

    Raises UsageError if the text and the holes, each of at least one token, do not fit.
    """
    encoded = [tokenizer.encode(piece) if isinstance(piece, str) else piece for piece in pieces]
    sizes = [piece.tokens if isinstance(piece, Hole) else len(piece) for piece in encoded]
    num_open = sizes.count(None)
    left = length - sum(size or 0 for size in sizes)
    if left < num_open:
        text = sum(len(piece) for piece in encoded if not isinstance(piece, Hole))
        holes = sum(size or 1 for size, piece in zip(sizes, encoded, strict=True) if isinstance(piece, Hole))
        found, expected = (
            f"{counted(text, 'token')} of text and at least {holes} of holes",
            f"at most {length} in total",
        )
        raise UsageError(found, f"{expected}, the capacity of an image", field="--infill")
    tokens: list[int] = []
    known: list[bool] = []
    for piece, size in zip(encoded, sizes, strict=True):
        if size is None:
            size = -(-left // num_open)
            left, num_open = left - size, num_open - 1
        tokens += [tokenizer.pad_id] * size if isinstance(piece, Hole) else piece
        known += [not isinstance(piece, Hole)] * size
    rest = length - len(tokens)
    return tokens + [tokenizer.pad_id] * rest, known + [False] * rest


def _hole(content: str) -> Hole:
    words = content.strip()
    if words in {"...", "…"}:
        return Hole(None)
    if words.isascii() and words.isdigit() and int(words[:9]) > 0:
        return Hole(int(words[:9]))
    raise UsageError(f"a hole {shown(f'[[{content}]]')}", "[[...]], or [[N]] for N tokens", field="--infill")
