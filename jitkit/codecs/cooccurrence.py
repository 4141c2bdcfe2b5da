"""Token embeddings from co-occurrence counts: tokens with similar neighbors get similar values.

The counts become positive pointwise mutual information, which a truncated singular value decomposition compresses. As
recommended by Levy, Goldberg, and Dagan (Transactions of the ACL 3, 2015), context probabilities are raised to the power
0.75 and singular values to the power 0.5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_CONTEXTS = 1024  # the most frequent tokens; the matrix for 16,384 ids then takes 128 MiB
CHUNK_TOKENS = 2**22
TINY = 1e-12

Ids = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]


def semantic_values(tokens: Ids, vocab_size: int, num_values: int) -> Floats:
    """Return values [vocab_size, num_values] in [-1, 1] that are close for ids with similar neighbors in `tokens` [N].

    Columns are in order of decreasing singular value. One common scale clips 1 % of the values. Absent ids get zeros.
    """
    counts = neighbor_counts(tokens, vocab_size)
    seen = counts.any(1)
    values = np.zeros((vocab_size, num_values), np.float32)
    rows = positive_information(counts[seen])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)
    rows -= rows.mean(0)
    squares, directions = np.linalg.eigh(rows.T @ rows)  # squared singular values, in ascending order
    strongest = slice(None, -num_values - 1, -1)
    roots = np.maximum(squares[strongest], TINY) ** 0.25
    values[seen, : len(roots)] = rows @ directions[:, strongest] / roots
    scale = np.quantile(np.abs(values[seen]), 0.99)
    clipped: Floats = np.clip(values / np.float32(max(scale, TINY)), -1, 1)
    return clipped


def neighbor_counts(tokens: Ids, vocab_size: int) -> Floats:
    """Return how often each id precedes and follows each context, [vocab_size, 2 C]. Contexts are the most frequent ids."""
    frequencies = np.bincount(tokens, minlength=vocab_size)
    contexts = np.argsort(-frequencies, kind="stable")[:MAX_CONTEXTS]
    num_contexts = len(contexts)
    column = np.full(vocab_size, num_contexts)  # the extra last column collects all other ids
    column[contexts] = np.arange(num_contexts)
    counts = np.zeros((2, vocab_size, num_contexts + 1), np.float32)
    for start in range(0, len(tokens) - 1, CHUNK_TOKENS):
        part = np.asarray(tokens[start : start + CHUNK_TOKENS + 1], dtype=np.int64)
        for side, (ids, others) in enumerate([(part[:-1], part[1:]), (part[1:], part[:-1])]):
            pairs = ids * (num_contexts + 1) + column[others]
            counts[side] += np.bincount(pairs, minlength=counts[side].size).reshape(counts[side].shape)
    return np.concatenate([counts[0, :, :-1], counts[1, :, :-1]], 1)


def positive_information(counts: Floats) -> Floats:
    """Return max(0, log p(row, column) / (p(row) q(column))), where q is p to the power 0.75, normalized."""
    shares = counts / counts.sum()
    rows, columns = shares.sum(1, keepdims=True), shares.sum(0, keepdims=True) ** 0.75
    columns /= columns.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(shares / (rows * columns))
    positive: Floats = np.where(information > 0, information, 0).astype(np.float32)
    return positive
