"""How much of unseen text a reader would recognise when it comes back out of noise."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

from rapidfuzz.distance import Levenshtein

from jitkit.component import Component
from jitkit.errors import InputError
from jitkit.evaluation.subject import Subject
from jitkit.evaluation.texts import window_bytes
from jitkit.protocols import Measurement


class TextRecovery(Component):
    """Exact matches and character error rate of held-out text that the sampler brings back from time t."""

    name: ClassVar[str] = "text_recovery"

    def measure(self, subject: Subject) -> Measurement:
        """Return a row for each t: `exact` in [0, 1] and `cer` >= 0.

        `exact` is the share of windows whose bytes all come back. `cer` is the number of edits (Levenshtein, NFC code
        points) over all windows, divided by the number of characters in them; it exceeds 1 when more is put in than was
        there. A window's text runs over the ends of documents: each counts as one character. Padding is not counted.
        """
        tokenizer = subject.pipeline.tokenizer
        references = [window_bytes(tokenizer, tokens) for tokens in subject.windows]
        characters = [_characters(reference) for reference in references]
        total = sum(map(len, characters))
        if not total:
            raise InputError("held-out windows without a character", "text")
        rows = []
        for reconstruction in subject.reconstructions:
            found = [window_bytes(tokenizer, tokens) for tokens in reconstruction.sampled]
            matches = sum(a == b for a, b in zip(references, found, strict=True))
            edits = sum(
                Levenshtein.distance(reference, _characters(text))
                for reference, text in zip(characters, found, strict=True)
            )
            rows.append({"t": reconstruction.t, "exact": matches / len(references), "cer": edits / total})
        return rows


def _characters(text: bytes) -> str:
    """Return the NFC code points of a window; its ends may cut a character, which then reads as U+FFFD on both sides."""
    return unicodedata.normalize("NFC", text.decode("utf-8", errors="replace"))
