"""In which scripts the characters are that do not come back."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from rapidfuzz.distance import Levenshtein

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.errors import InputError
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.evaluation.scripts import script_of
from jitkit.evaluation.texts import nfc, window_bytes

MOST_SCRIPTS = 8
OTHER = "other"


class ScriptErrors(Component):
    """Character error rate of each script in held-out text that comes back from time t in eight steps."""

    name: ClassVar[str] = "script_errors"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: by script, the edits over the characters, as `cer` of `TextRecovery` splits up.

        An edit counts for the script of the character that is lost or replaced; one that is put in, for that of the
        character before it. The `MOST_SCRIPTS` commonest scripts have their own column, the others share one.
        """
        tokenizer = context.pipeline.tokenizer
        texts = [nfc(window_bytes(tokenizer, tokens)) for tokens in context.windows]
        scripts = [[script_of(character) for character in text] for text in texts]
        commonest = [name for name, _ in Counter(name for row in scripts for name in row).most_common(MOST_SCRIPTS)]
        if not commonest:
            raise InputError("held-out windows without a character", "text")
        scripts = [[name if name in commonest else OTHER for name in row] for row in scripts]
        sizes = [Counter(row) for row in scripts]
        rows = []
        for reconstruction in context.reconstructions:
            edits = [
                _edits(text, nfc(window_bytes(tokenizer, tokens)), names)
                for text, tokens, names in zip(texts, reconstruction.sampled, scripts, strict=True)
            ]
            row = {"t": reconstruction.t}
            for name in (*commonest, OTHER):
                counts, lengths = ([float(each[name]) for each in column] for column in (edits, sizes))
                row |= ratio_with_interval(name, counts, lengths, context.seed)
            rows.append(row)
        return rows


def _edits(text: str, found: str, scripts: list[str]) -> Counter[str]:
    """Return how many edits make `found` of `text`, by the script of the character that they concern."""
    if not text:
        return Counter({OTHER: len(found)})
    operations = Levenshtein.editops(text, found)
    return Counter(scripts[max(0, op.src_pos - (op.tag == "insert"))] for op in operations)
