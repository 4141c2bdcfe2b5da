"""How much of unseen text a reader would recognise when it comes back out of noise."""

from __future__ import annotations

from typing import ClassVar

from rapidfuzz.distance import Levenshtein

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.errors import InputError
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval, share_with_interval
from jitkit.evaluation.texts import is_utf8, nfc, window_bytes


class TextRecovery(Component):
    """Exact matches, character error rate and invalid UTF-8 of held-out text that comes back from time t in eight steps."""

    name: ClassVar[str] = "text_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: `exact` and `invalid` in [0, 1], `cer` >= 0, each with its interval.

        `exact` is the share of windows whose bytes all come back. `cer` is the number of edits (Levenshtein, NFC code
        points) over all windows, divided by the number of characters in them; it exceeds 1 when more is put in than was
        there. `invalid` is the share of windows that come back as bytes that are not UTF-8; a character that a window's
        end cuts is forgiven. A window's text runs over the ends of documents: each counts as one character. Padding is
        not counted.
        """
        tokenizer = context.pipeline.tokenizer
        references = [window_bytes(tokenizer, tokens) for tokens in context.windows]
        characters = [nfc(reference) for reference in references]
        lengths = [len(text) for text in characters]
        if not sum(lengths):
            raise InputError("held-out windows without a character", "text")
        rows = []
        for reconstruction in context.reconstructions:
            found = [window_bytes(tokenizer, tokens) for tokens in reconstruction.sampled]
            matches = [a == b for a, b in zip(references, found, strict=True)]
            edits = [Levenshtein.distance(a, nfc(b)) for a, b in zip(characters, found, strict=True)]
            rows.append(
                {
                    "t": reconstruction.t,
                    **share_with_interval("exact", matches),
                    **ratio_with_interval("cer", edits, lengths, context.seed),
                    **share_with_interval("invalid", [not is_utf8(data) for data in found]),
                }
            )
        return rows
