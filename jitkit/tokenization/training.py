"""Train a byte-level BPE vocabulary (Sennrich et al. 2016) that tiktoken can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from jitkit.data.tokenize import text_chunks
from jitkit.errors import InputError, ResourceError, UsageError, first_line, shown
from jitkit.progress import Progress, silent
from jitkit.tokenization.ranks import PATTERN

NUM_SPECIAL = 2  # eos and pad, which have no rank


def train_pieces(
    documents: Iterable[str], vocab_size: int, pattern: str = PATTERN, progress: Progress = silent
) -> tuple[bytes, ...]:
    """Return the pieces, ordered by rank, of a vocabulary with `vocab_size` ids including eos and pad.

    Deterministic. Raises ResourceError if rustbpe is not installed, InputError if the documents have too few different
    pieces, UsageError for a `vocab_size` below 258 or an invalid `pattern`.
    """
    num_pieces = vocab_size - NUM_SPECIAL
    if num_pieces < 256:
        raise UsageError(str(vocab_size), "at least 258 (256 bytes, eos, pad)", field="--vocab-size")
    try:
        import rustbpe
    except ImportError as error:
        raise ResourceError("no package rustbpe", "an installed one", hint="pip install 'jitkit[train-tok]'") from error
    trainer = rustbpe.Tokenizer()
    try:
        trainer.train_from_iterator(_counted(documents, progress), num_pieces, pattern=pattern)
    except ValueError as error:
        raise UsageError(
            f"{shown(pattern)} ({first_line(error)})", "a regular expression", field="--pattern"
        ) from error
    # Two merges can produce the same bytes (ab + c, a + bc). The file has them once, at the lower rank.
    pieces = tuple(dict.fromkeys(bytes(piece) for piece, _ in trainer.get_mergeable_ranks()))
    if len(pieces) < num_pieces:
        found = f"{len(pieces)} different pieces in the text"
        hint = f"Provide more text, or at most --vocab-size {len(pieces) + NUM_SPECIAL}."
        raise InputError(found, f"at least {num_pieces}", field="--vocab-size", hint=hint)
    return pieces


def _counted(documents: Iterable[str], progress: Progress) -> Iterator[str]:
    """Yield the text in chunks, and report how much of it has been read and when the trainer begins to merge."""
    num_bytes = 0
    for chunk in chain.from_iterable(map(text_chunks, documents)):
        num_bytes += len(chunk.encode())
        progress("reading text", num_bytes, 0)
        yield chunk
    progress("merging pieces", 0, 0)
