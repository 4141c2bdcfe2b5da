"""Reading a noisy image with the least context there is: how often one token follows another in the training text.

What a model makes of noise shall be better than what a table of pairs makes of it. The tokens are taken for a Markov chain,
their noisy codewords for what is seen of it, and the forward-backward algorithm (Rabiner 1989) gives the exact posterior of
each token. Probabilities interpolate with those of single tokens, these with equal odds (Witten and Bell 1991)::

    p(b | a) = (count(a b) + types(a) p(b)) / (count(a) + types(a))
    p(b)     = (count(b) + types 1 / V) / (count + types)

count(a) is how often a is followed by a token, types(a) by how many different ones. Of a vocabulary above `MOST_STATES`,
each place has as candidates the `CANDIDATES` tokens that noise and p(b) together leave likeliest.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_STATES = 512
CANDIDATES = 16


class Bigrams:
    """The pairs of neighbours in `ids` [N] int64, N >= 1, each below `vocab_size`."""

    def __init__(self, ids: Tensor, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        counts = ids.bincount(minlength=vocab_size).double()
        types = (counts > 0).sum()
        self.single = (counts + types / vocab_size) / (counts.sum() + types)  # [V]
        keys, counted = np.unique((ids[:-1] * vocab_size + ids[1:]).numpy(), return_counts=True)
        self._keys, self._counts = torch.from_numpy(keys), torch.from_numpy(counted)
        firsts = self._keys // vocab_size
        self._types = firsts.bincount(minlength=vocab_size)
        self._totals = torch.zeros_like(self._types).index_add_(0, firsts, self._counts)
        every = torch.arange(vocab_size)
        self._table = self.after(every[:, None], every) if vocab_size <= MOST_STATES else None

    def after(self, before: Tensor, token: Tensor) -> Tensor:
        """Return p(token | before) float64; the two ids are broadcast against each other."""
        keys = before * self.vocab_size + token
        before, token = keys // self.vocab_size, keys % self.vocab_size
        count = torch.zeros_like(keys)
        if len(self._keys):
            places = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
            count = torch.where(self._keys[places] == keys, self._counts[places], 0)
        types, lower = self._types[before], self.single[token]
        smoothed = (count + types * lower) / (self._totals[before] + types).clamp(min=1)
        return torch.where(types > 0, smoothed, lower)

    def read(self, logits: Tensor) -> Tensor:
        """Return the tokens [B, L] int64 of the largest posterior; `logits` [B, L, V] say what was seen of each."""
        candidates, seen = self._candidates(logits)
        length = seen.shape[1]
        steps = [self._step(candidates, place) for place in range(1, length)]
        forward = [_to_one(self.single[candidates[:, 0]] * seen[:, 0])]
        backward = [torch.ones_like(seen[:, 0])]
        for place in range(1, length):
            forward.append(_to_one((forward[-1][:, None] @ steps[place - 1])[:, 0] * seen[:, place]))
            later = (backward[-1] * seen[:, -place])[:, :, None]
            backward.append(_to_one((steps[-place] @ later)[:, :, 0]))
        best = (torch.stack(forward, 1) * torch.stack(backward[::-1], 1)).argmax(2, keepdim=True)
        return candidates.gather(2, best)[:, :, 0]

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids [B, L, K], and how likely what was seen is for each of them [B, L, K] float64, up to a factor."""
        if self._table is None:
            chosen = (logits + self.single.log()).topk(CANDIDATES).indices
            return chosen, logits.gather(2, chosen).double().softmax(2)
        return torch.arange(self.vocab_size).expand(logits.shape), logits.double().softmax(2)

    def _step(self, candidates: Tensor, place: int) -> Tensor:
        """Return the odds of each candidate at `place` after each one before it, [B or 1, K, K]."""
        if self._table is not None:
            return self._table[None]
        return self.after(candidates[:, place - 1, :, None], candidates[:, place, None, :])


def _to_one(shares: Tensor) -> Tensor:
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
