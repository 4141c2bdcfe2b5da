"""Orders of the ids of a vocabulary, by what a corpus tells of them: neighbouring places for like tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jitkit.codecs.cooccurrence import Floats, Ids, semantic_numbers

Places = npt.NDArray[np.int64]

NUM_DIRECTIONS = 16  # that likeness is judged by


def id_order(tokens: Ids, vocab_size: int) -> Places:
    """Return the ids as they are, [vocab_size], whatever the text says."""
    del tokens
    return np.arange(vocab_size)


def frequency_order(tokens: Ids, vocab_size: int) -> Places:
    """Return the ids, the most frequent of `tokens` [N] first; equals keep their order."""
    return np.argsort(-np.bincount(tokens, minlength=vocab_size), kind="stable")


def semantic_order(tokens: Ids, vocab_size: int) -> Places:
    """Return the ids so that those with like neighbours in `tokens` [N] are near each other; absent ids come last.

    The ids are bisected along the direction in which they differ most, and so are the halves (Boley: Data Mining and
    Knowledge Discovery 2, 1998). Halves are powers of two, so that each binary digit of a place tells two halves apart.
    """
    present = np.bincount(tokens, minlength=vocab_size) > 0
    numbers = semantic_numbers(tokens, vocab_size, NUM_DIRECTIONS)
    (seen,), (absent,) = present.nonzero(), (~present).nonzero()
    return np.concatenate([seen[bisected(numbers[seen], np.ones(NUM_DIRECTIONS, np.float32))], absent])


ORDERS: dict[str, Callable[[Ids, int], Places]] = {
    "semantic": semantic_order,
    "frequency": frequency_order,
    "own": id_order,
}


def bisected(rows: Floats, upwards: Floats) -> Places:
    """Return the order of `rows` [n, d] in which halves, and halves of halves, lie apart; it runs `upwards` [d].

    A half runs on in the direction of the whole, so that where two halves meet they are alike.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    centred = rows - rows.mean(0)
    direction = np.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    if direction @ upwards < 0:
        direction = -direction
    order = np.argsort(centred @ direction, kind="stable")
    half = 1 << (len(rows) - 1).bit_length() - 1  # the largest power of two below
    return np.concatenate([part[bisected(rows[part], direction)] for part in (order[:half], order[half:])])
