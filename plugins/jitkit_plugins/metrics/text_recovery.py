"""How readable held-out text is when recovered from noise."""

from __future__ import annotations

from typing import ClassVar

from rapidfuzz.distance import Levenshtein

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval, share_with_interval
from jitkit.evaluation.texts import is_utf8, nfc, require_characters, window_bytes
from jitkit_plugins.metrics.recovery import reconstructions_of


class TextRecovery(Component):
    """Exact matches, character error rate, and invalid UTF-8 of text recovered from noise at time t in eight steps."""

    name: ClassVar[str] = "text_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: `exact` and `invalid` in [0, 1], `cer` >= 0, each with its interval.

        `exact` is the share of windows whose bytes are all recovered. `cer` is the number of edits (Levenshtein, NFC code
        points) per character, over all windows; insertions can push it above 1. `invalid` is the share of windows that
        are not UTF-8, ignoring characters cut by a window's ends. The text of a window includes the ends of documents as
        one character each; padding is not counted.
        """
        tokenizer = context.pipeline.tokenizer
        references = [window_bytes(tokenizer, tokens) for tokens in context.windows]
        characters = [nfc(reference) for reference in references]
        require_characters(characters)
        lengths = [len(text) for text in characters]
        rows = []
        for reconstruction in reconstructions_of(context):
            found = [window_bytes(tokenizer, tokens) for tokens in reconstruction.sampled]
            matches = [a == b for a, b in zip(references, found, strict=True)]
            edits = [Levenshtein.distance(a, nfc(b)) for a, b in zip(characters, found, strict=True)]
            exact = share_with_interval("exact", matches)
            invalid = share_with_interval("invalid", [not is_utf8(data) for data in found])
            cer = ratio_with_interval("cer", edits, lengths, context.seed)
            rows.append({"t": reconstruction.t, **exact, **cer, **invalid})
        return rows
