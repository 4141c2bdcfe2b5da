"""A token bigram model of the training text, and what it recovers of a noisy image: the bigram baseline.

Tokens are a Markov chain whose noisy codewords are observed. The forward-backward algorithm (Rabiner 1989) computes the
exact posterior of each. Bigrams are interpolated with unigrams, and these with the uniform distribution (Witten and Bell
1991)::

    p(b | a) = (count(a b) + types(a) p(b)) / (count(a) + types(a))
    p(b)     = (count(b) + types 1 / V) / (count + types)

count(a) is the number of tokens that follow a, types(a) the number of different ones. If the vocabulary exceeds
`MAX_STATES`, each position keeps the `CANDIDATES` tokens that are most likely given its noise and p(b).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from jitkit.evaluation.context import CannotMeasureError, EvaluationContext
from jitkit.evaluation.texts import END

MAX_STATES = 512
CANDIDATES = 16


class BigramModel:
    """The bigrams of `ids` [N] int64, N >= 1, each below `vocab_size`."""

    def __init__(self, ids: Tensor, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        counts = ids.bincount(minlength=vocab_size).double()
        types = (counts > 0).sum()
        self.unigram = (counts + types / vocab_size) / (counts.sum() + types)  # [V]
        keys, counted = np.unique((ids[:-1] * vocab_size + ids[1:]).numpy(), return_counts=True)
        self._keys, self._counts = torch.from_numpy(keys), torch.from_numpy(counted)
        firsts = self._keys // vocab_size
        self._types = firsts.bincount(minlength=vocab_size)
        self._totals = torch.zeros_like(self._types).index_add_(0, firsts, self._counts)
        every = torch.arange(vocab_size)
        self._table = self.conditional(every[:, None], every) if vocab_size <= MAX_STATES else None

    def conditional(self, before: Tensor, token: Tensor) -> Tensor:
        """Return p(token | before) float64; the ids are broadcast against each other."""
        keys = before * self.vocab_size + token
        before, token = keys // self.vocab_size, keys % self.vocab_size
        count = torch.zeros_like(keys)
        if len(self._keys):
            places = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
            count = torch.where(self._keys[places] == keys, self._counts[places], 0)
        types, lower = self._types[before], self.unigram[token]
        smoothed = (count + types * lower) / (self._totals[before] + types).clamp(min=1)
        return torch.where(types > 0, smoothed, lower)

    def decode(self, logits: Tensor) -> Tensor:
        """Return the tokens [B, L] int64 with the largest posterior, given `logits` [B, L, V] of the observations."""
        candidates, likelihood = self._candidates(logits)
        length = likelihood.shape[1]
        steps = [self._step(candidates, place) for place in range(1, length)]
        forward = [_normalized(self.unigram[candidates[:, 0]] * likelihood[:, 0])]
        backward = [torch.ones_like(likelihood[:, 0])]
        for place in range(1, length):
            forward.append(_normalized((forward[-1][:, None] @ steps[place - 1])[:, 0] * likelihood[:, place]))
            later = (backward[-1] * likelihood[:, -place])[:, :, None]
            backward.append(_normalized((steps[-place] @ later)[:, :, 0]))
        best = (torch.stack(forward, 1) * torch.stack(backward[::-1], 1)).argmax(2, keepdim=True)
        return candidates.gather(2, best)[:, :, 0]

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return candidate ids [B, L, K] and their likelihoods [B, L, K] float64, up to a factor."""
        if self._table is None:
            chosen = (logits + self.unigram.log()).topk(CANDIDATES).indices
            return chosen, logits.gather(2, chosen).double().softmax(2)
        return torch.arange(self.vocab_size).expand(logits.shape), logits.double().softmax(2)

    def _step(self, candidates: Tensor, place: int) -> Tensor:
        """Return the transition probabilities from the candidates before `place` to those at it, [B or 1, K, K]."""
        if self._table is not None:
            return self._table[None]
        return self.conditional(candidates[:, place - 1, :, None], candidates[:, place, None, :])


def bigram_model_of(context: EvaluationContext) -> BigramModel | None:
    """Return the bigram model of the training text, built once; None, with a note, if that text is not available."""

    def count() -> BigramModel | None:
        try:
            documents = context.training_text.removesuffix(END).split(END)
        except CannotMeasureError as error:
            context.notes.append(f"no bigram baseline: {error}")
            return None
        tokenizer = context.pipeline.tokenizer
        ids = [token for document in documents for token in (*tokenizer.encode(document), tokenizer.eos_id)]
        return BigramModel(torch.tensor(ids), tokenizer.vocab_size)

    return context.shared("bigram model", count)


def _normalized(shares: Tensor) -> Tensor:
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
