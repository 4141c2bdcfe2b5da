"""Training a byte-pair vocabulary (Sennrich et al. 2016, over bytes) whose file tiktoken reads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from jitkit.data.text_chunks import text_chunks
from jitkit.errors import InputError, ResourceError, UsageError, shown
from jitkit.tokenization.ranks import PATTERN

NUM_MARKS = 2  # eos and pad, which have no rank


def train_pieces(documents: Iterable[str], vocab_size: int, pattern: str = PATTERN) -> tuple[bytes, ...]:
    """Return the pieces of a vocabulary of `vocab_size` ids, eos and pad included, in the order of their ranks.

    The same documents give the same pieces. Raises ResourceError when rustbpe is not installed, InputError when the
    documents have too few different pieces, UsageError for a `vocab_size` below 258 or a `pattern` that is not a regular
    expression.
    """
    num_pieces = vocab_size - NUM_MARKS
    if num_pieces < 256:
        raise UsageError(f"{vocab_size}", "at least 258 (every byte, eos and pad)", field="--vocab-size")
    try:
        import rustbpe
    except ImportError as error:
        raise ResourceError(
            "no package rustbpe", "the extra train-tok", hint="pip install 'jitkit[train-tok]'"
        ) from error
    trainer = rustbpe.Tokenizer()
    try:
        trainer.train_from_iterator(chain.from_iterable(map(text_chunks, documents)), num_pieces, pattern=pattern)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{shown(pattern)} ({reason})", "a regular expression", field="--pattern") from error
    # Two merges may spell the same bytes (ab + c, a + bc); a file holds them once, at the lower rank.
    pieces = tuple(dict.fromkeys(bytes(piece) for piece, _ in trainer.get_mergeable_ranks()))
    if len(pieces) < num_pieces:
        raise InputError(
            f"text with {len(pieces)} different pieces",
            f"at least {num_pieces}",
            field="--vocab-size",
            hint=f"Give more text, or at most --vocab-size {len(pieces) + NUM_MARKS}.",
        )
    return pieces
