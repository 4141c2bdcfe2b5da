"""Character error rates by script."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from rapidfuzz.distance import Levenshtein

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.evaluation.texts import nfc, require_characters, script_of, window_bytes
from jitkit_plugins.metrics.recovery import reconstructions_of

MAX_SCRIPTS = 8
OTHER = "other"


class ScriptErrors(Component):
    """Character error rate by script for held-out text recovered from noise at time t in eight steps."""

    name: ClassVar[str] = "script_errors"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each t: edits per character of each script, a breakdown of `cer` of `TextRecovery`.

        A deletion or substitution counts for the script of the affected character, an insertion for that of the character
        before it. The `MAX_SCRIPTS` most frequent scripts have a column each, the others share one.
        """
        tokenizer = context.pipeline.tokenizer
        texts = [nfc(window_bytes(tokenizer, tokens)) for tokens in context.windows]
        require_characters(texts)
        scripts = [[script_of(character) for character in text] for text in texts]
        frequent = [name for name, _ in Counter(name for row in scripts for name in row).most_common(MAX_SCRIPTS)]
        scripts = [[name if name in frequent else OTHER for name in row] for row in scripts]
        sizes = [Counter(row) for row in scripts]
        rows = []
        for reconstruction in reconstructions_of(context):
            found = [nfc(window_bytes(tokenizer, tokens)) for tokens in reconstruction.sampled]
            edits = list(map(_edits, texts, found, scripts))
            row = {"t": reconstruction.t}
            for name in (*frequent, OTHER):
                counts, lengths = ([float(each[name]) for each in column] for column in (edits, sizes))
                row |= ratio_with_interval(name, counts, lengths, context.seed)
            rows.append(row)
        return rows


def _edits(text: str, found: str, scripts: list[str]) -> Counter[str]:
    """Return the number of edits from `text` to `found`, by the script of the affected character."""
    if not text:
        return Counter({OTHER: len(found)})
    operations = Levenshtein.editops(text, found)
    return Counter(scripts[max(0, op.src_pos - (op.tag == "insert"))] for op in operations)
