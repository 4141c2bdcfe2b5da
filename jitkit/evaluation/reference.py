"""Training text, as much of it as a judge needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jitkit.evaluation.texts import END_OF_DOCUMENT

MOST_CHARACTERS = 2**22

Documents = Callable[[], Iterable[str]]
"""Gives the documents of the training split, the same ones each time."""


def reference_text(documents: Documents, most: int = MOST_CHARACTERS) -> str:
    """Return the documents, each ended by `END_OF_DOCUMENT`; where they have more than `most` characters, their beginnings.

    Every document gives the same share of itself, so that no script or topic is left out for being late in the order.
    """
    total = sum(len(document) for document in documents())
    share = min(1.0, most / max(total, 1))
    end = END_OF_DOCUMENT.decode()
    return "".join(document[: round(share * len(document))] + end for document in documents())
