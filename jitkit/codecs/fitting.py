"""Fit codewords to a corpus: reorder the codewords of a codec, and prepend semantic values."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from jitkit.codecs.cooccurrence import Ids, semantic_values
from jitkit.codecs.token_order import Order
from jitkit.files import Files
from jitkit.protocols import CodecComponent


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
