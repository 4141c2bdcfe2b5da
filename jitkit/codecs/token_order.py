"""Orders of token ids, derived from a corpus, by which codewords are assigned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jitkit.codecs.cooccurrence import Floats, Ids, semantic_values

Order = npt.NDArray[np.int64]

NUM_DIRECTIONS = 16  # semantic values per token


def id_order(tokens: Ids, vocab_size: int) -> Order:
    """Return the ids in ascending order, [vocab_size]."""
    del tokens
    return np.arange(vocab_size)


def frequency_order(tokens: Ids, vocab_size: int) -> Order:
    """Return the ids by decreasing frequency in `tokens` [N]. Ties keep their order."""
    return np.argsort(-np.bincount(tokens, minlength=vocab_size), kind="stable")


def semantic_order(tokens: Ids, vocab_size: int) -> Order:
    """Return the ids so that ids with similar neighbors in `tokens` [N] are close to each other. Absent ids come last.

    Principal direction divisive partitioning (Boley: Data Mining and Knowledge Discovery 2, 1998): ids are split in half
    along their first principal component, recursively. Halves are powers of two, so each bit of an index is one split.
    """
    present = np.bincount(tokens, minlength=vocab_size) > 0
    values = semantic_values(tokens, vocab_size, NUM_DIRECTIONS)
    (seen,), (absent,) = present.nonzero(), (~present).nonzero()
    return np.concatenate([seen[bisected(values[seen], np.ones(NUM_DIRECTIONS, np.float32))], absent])


ORDERS: dict[str, Callable[[Ids, int], Order]] = {
    "semantic": semantic_order,
    "frequency": frequency_order,
    "own": id_order,
}


def bisected(rows: Floats, orientation: Floats) -> Order:
    """Return the order of `rows` [n, d] by recursive bisection, ascending along `orientation` [d].

    Each half is oriented like the whole, so that rows are similar where two halves meet.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    centered = rows - rows.mean(0)
    direction = np.linalg.eigh(centered.T @ centered).eigenvectors[:, -1]
    if direction @ orientation < 0:
        direction = -direction
    order = np.argsort(centered @ direction, kind="stable")
    half = 1 << (len(rows) - 1).bit_length() - 1  # the largest power of two below the length
    return np.concatenate([part[bisected(rows[part], direction)] for part in (order[:half], order[half:])])
