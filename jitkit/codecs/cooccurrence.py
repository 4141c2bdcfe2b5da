"""What a token's neighbours say about it: tokens that stand between the same others get like numbers.

Counts of neighbours, turned into positive pointwise mutual information and cut down to a few directions by a singular value
decomposition, as Levy, Goldberg and Dagan found to work best (Transactions of the ACL 3, 2015): probabilities of contexts
to the power 0.75, singular values to the power 1/2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_CONTEXTS = 1024  # the most frequent tokens: a matrix for 16,384 ids is then 128 MiB large
TOKENS_AT_ONCE = 2**22
TINY = 1e-12

Ids = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]


def semantic_numbers(tokens: Ids, vocab_size: int, num_numbers: int) -> Floats:
    """Return numbers [vocab_size, num_numbers] in [-1, 1], near each other for ids of `tokens` [N] with like neighbours.

    The first numbers tell most. All are scaled by one factor, so that a hundredth of them is cut off at the ends. Ids that
    do not occur get zeros.
    """
    counts = neighbor_counts(tokens, vocab_size)
    seen = counts.any(1)
    numbers = np.zeros((vocab_size, num_numbers), np.float32)
    rows = positive_information(counts[seen])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)
    rows -= rows.mean(0)
    squares, directions = np.linalg.eigh(rows.T @ rows)  # of the singular values, least first
    strongest = slice(None, -num_numbers - 1, -1)
    roots = np.maximum(squares[strongest], TINY) ** 0.25
    numbers[seen, : len(roots)] = rows @ directions[:, strongest] / roots
    scale = np.quantile(np.abs(numbers[seen]), 0.99)
    clipped: Floats = np.clip(numbers / np.float32(max(scale, TINY)), -1, 1)
    return clipped


def neighbor_counts(tokens: Ids, vocab_size: int) -> Floats:
    """Return how often each id stands before and after each context, [vocab_size, 2 C]; the most frequent are contexts."""
    frequencies = np.bincount(tokens, minlength=vocab_size)
    contexts = np.argsort(-frequencies, kind="stable")[:MAX_CONTEXTS]
    num_contexts = len(contexts)
    place = np.full(vocab_size, num_contexts)  # one column more, for those that are no contexts
    place[contexts] = np.arange(num_contexts)
    counts = np.zeros((2, vocab_size, num_contexts + 1), np.float32)
    for start in range(0, len(tokens) - 1, TOKENS_AT_ONCE):
        part = np.asarray(tokens[start : start + TOKENS_AT_ONCE + 1], dtype=np.int64)
        for side, (ids, others) in enumerate([(part[:-1], part[1:]), (part[1:], part[:-1])]):
            pairs = ids * (num_contexts + 1) + place[others]
            counts[side] += np.bincount(pairs, minlength=counts[side].size).reshape(counts[side].shape)
    return np.concatenate([counts[0, :, :-1], counts[1, :, :-1]], 1)


def positive_information(counts: Floats) -> Floats:
    """Return log p(row, column) / (p(row) q(column)) where it is positive, else 0; q is p to the power 0.75, normalised."""
    shares = counts / counts.sum()
    rows, columns = shares.sum(1, keepdims=True), shares.sum(0, keepdims=True) ** 0.75
    columns /= columns.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(shares / (rows * columns))
    positive: Floats = np.where(information > 0, information, 0).astype(np.float32)
    return positive
