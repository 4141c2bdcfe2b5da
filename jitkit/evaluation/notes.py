"""Notes of an evaluation: fewer windows than requested, and scripts that the tokenizer does not know."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import groupby

from jitkit.errors import counted
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.texts import COMMON, nfc, script_of, window_bytes
from jitkit.protocols import Tokenizer

MIN_SHARE = 0.001  # of the characters; fewer are stray letters


def notes_on(context: EvaluationContext, requested: Mapping[str, int]) -> list[str]:
    """Return a sentence for each surprise in the held-out text.

    `requested` holds limits of the number of windows, each by the words for it: "eval.num_windows is 64". Only the
    smallest one counts.
    """
    notes = []
    words = min(requested, key=lambda name: requested[name])
    if len(context.windows) < requested[words]:
        notes.append(f"the held-out text has {counted(len(context.windows), 'window')}; {words}")
    tokenizer = context.pipeline.tokenizer
    text = "".join(nfc(window_bytes(tokenizer, tokens)) for tokens in context.windows)
    return notes + [
        f"the tokenizer has no tokens for the script {script} ({share:.1%} of the text), only single bytes"
        for script, share in unknown_scripts(tokenizer, text).items()
    ]


def unknown_scripts(tokenizer: Tokenizer, text: str) -> dict[str, float]:
    """Return the scripts of `text` that the tokenizer encodes in single bytes only, and their share of the text.

    ASCII never counts: its characters are single bytes. Neither does any script for a tokenizer that has no longer tokens.
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
        and sizes[script] >= MIN_SHARE * len(text)
        and not "".join(words).isascii()
        and all(len(tokenizer.encode(word)) >= len(word.encode()) for word in words[:100])
    }
