"""What a reader must know of an evaluation before its figures: fewer windows than wanted, scripts that nobody learned."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby

from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.scripts import COMMON, script_of
from jitkit.evaluation.texts import nfc, window_bytes
from jitkit.protocols import Tokenizer

LEAST_SHARE = 0.001  # of the characters: a stray letter is no script


def notes_on(context: EvaluationContext, asked: int) -> list[str]:
    """Return a sentence for each thing that is not as a reader would expect; `asked` is how many windows were wanted."""
    remarks = []
    if len(context.windows) < asked:
        remarks.append(f"{asked} windows were asked for; the held-out text has {len(context.windows)}")
    tokenizer = context.pipeline.tokenizer
    text = "".join(nfc(window_bytes(tokenizer, tokens)) for tokens in context.windows)
    for script, share in unseen_scripts(tokenizer, text).items():
        remarks.append(f"the tokenizer never saw the script {script} ({share:.1%} of the text) and spells it in bytes")
    return remarks


def unseen_scripts(tokenizer: Tokenizer, text: str) -> dict[str, float]:
    """Return the scripts of `text` of which the tokenizer has no piece beyond single bytes, and their share of it.

    Letters of one byte (ASCII) are always pieces; a tokenizer of bytes alone has never seen any text, and misses none.
    """
    if not any(len(tokenizer.decode_bytes([token])) > 1 for token in range(tokenizer.vocab_size)):
        return {}
    runs: dict[str, list[str]] = defaultdict(list)
    for script, characters in groupby(text, key=script_of):
        runs[script].append("".join(characters))
    sizes = Counter({script: sum(map(len, words)) for script, words in runs.items()})
    return {
        script: sizes[script] / len(text)
        for script, words in runs.items()
        if script != COMMON
        and sizes[script] >= LEAST_SHARE * len(text)
        and not "".join(words).isascii()
        and all(len(tokenizer.encode(word)) >= len(word.encode()) for word in words[:100])
    }
