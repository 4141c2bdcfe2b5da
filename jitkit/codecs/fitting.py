"""Fit codewords to a text: semantic values, orders of tokens, and the assignment of codewords."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jitkit.files import Files
from jitkit.protocols import CodecComponent

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


Order = npt.NDArray[np.int64]

NUM_DIRECTIONS = 16  # semantic values per token


def id_order(tokens: Ids, vocab_size: int) -> Order:  # noqa: ARG001
    """Return the ids in ascending order, [vocab_size]."""
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


ORDERS = {"semantic": semantic_order, "frequency": frequency_order, "own": id_order}


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


def codewords_of(component: CodecComponent, vocab_size: int, files: Files) -> Tensor:
    """Return the codewords [V, n] uint8 of a codec, without values that are the same in all of them."""
    pixels = component.build(vocab_size, 64, 64, files).pixels_per_token
    side = math.ceil(math.sqrt(pixels))
    codec = component.build(vocab_size, side, side, files)
    tokens = torch.zeros(vocab_size, codec.capacity, dtype=torch.int64)
    tokens[:, 0] = torch.arange(vocab_size)
    first = codec.pixel_mask(torch.arange(codec.capacity)[None] == 0)[0, 0]
    words = codec.encode_bytes(tokens)[:, first].flatten(1)
    return words[:, (words != words[0]).any(0)]


def assign_codewords(words: Tensor, order: Order) -> Tensor:
    """Return `words` [V, n] permuted so that codeword i belongs to id `order[i]`."""
    return torch.empty_like(words).index_copy_(0, torch.from_numpy(order), words)


def prepend_semantic_values(words: Tensor, tokens: Ids, num_values: int) -> Tensor:
    """Return [V, num_values + n]: semantic values from `tokens` [N], then `words` [V, n]. Distances cannot decrease."""
    if num_values == 0:
        return words
    values = torch.from_numpy(semantic_values(tokens, len(words), num_values))
    return torch.cat([((values + 1) * 127.5).round().to(torch.uint8), words], 1)


def nearest_tokens(words: Tensor, tokens: Ids, *, num_tokens: int, num_nearest: int) -> list[tuple[int, list[int]]]:
    """Return the most frequent ids in `tokens` [N], each with the ids of its nearest codewords in `words` [V, n]."""
    frequencies = torch.from_numpy(np.bincount(tokens, minlength=len(words)))
    seen = frequencies.nonzero()[:, 0]
    chosen = frequencies.argsort(descending=True, stable=True)[: min(num_tokens, len(seen))]
    distances = torch.cdist(words[chosen].float(), words[seen].float())
    nearest = seen[distances.argsort(dim=1, stable=True)]
    return [
        (token, [other for other in row if other != token][:num_nearest])
        for token, row in zip(chosen.tolist(), nearest.tolist(), strict=True)
    ]
