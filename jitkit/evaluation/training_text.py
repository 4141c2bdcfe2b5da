"""Training text for the metrics that compare samples with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jitkit.evaluation.texts import END

MAX_CHARACTERS = 2**22

TrainingDocuments = Callable[[], Iterable[str]]
"""Returns the documents of the training split, the same ones each time."""


def joined_text(documents: TrainingDocuments, max_characters: int = MAX_CHARACTERS) -> str:
    """Return the documents, each ended by `END`; if they exceed `max_characters`, the beginning of each.

    Every document is cut to the same share, so that no script or topic is lost for being late in the order.
    """
    total = sum(len(document) for document in documents())
    share = min(1.0, max_characters / max(total, 1))
    return "".join(document[: round(share * len(document))] + END for document in documents())
