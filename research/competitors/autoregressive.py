"""The autoregressive competitor: p(x) = prod p(x_i | x_1 .. x_(i-1))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit_plugins.backbones.blocks import Attention
from jitkit_plugins.backbones.jit import JitSettings
from research.competitors.trunk import Trunk, draw, generators_of

TOKEN_AXIS = 2  # of keys and values [B, A, N, K]


class CausalAttention(Attention):
    """Causal self-attention with a key-value cache.

    During generation `past` caches the keys and values of all earlier tokens, and each call processes one new token.
    """

    past: tuple[Tensor, Tensor] | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the attention output [B, A, N, K]."""
        if self.past is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        k, v = (torch.cat(pair, dim=TOKEN_AXIS) for pair in zip(self.past, (k, v), strict=True))
        self.past = k, v
        return F.scaled_dot_product_attention(q, k, v)


class Autoregressive(nn.Module):
    """A causal trunk. Its input is the text shifted by one, with the id `extra` in front."""

    def __init__(self, settings: JitSettings, vocab_size: int, length: int) -> None:
        super().__init__()
        self.trunk = Trunk(settings, vocab_size, length, CausalAttention)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [B, L, V] for each of `tokens` [B, L], given those before it."""
        return self._next(F.pad(tokens[:, :-1], (1, 0), value=self.trunk.extra))

    def _next(self, before: Tensor, first: int = 0) -> Tensor:
        clean = torch.ones(len(before), device=before.device)  # t = 1: the input is clean
        logits: Tensor = self.trunk(before, clean, first)
        return logits

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean cross-entropy [B] in nats per token. It is exact, so `generator` is not used."""
        return F.cross_entropy(self(tokens).transpose(1, 2), tokens, reduction="none").mean(1)

    @torch.inference_mode()
    def generate(self, seeds: Sequence[int], *, temperature: float = 1.0) -> Tensor:
        """Return tokens [B, L], one window per seed, in L evaluations of one token each."""
        generators = generators_of(seeds)
        tokens = self.trunk.position_embedding.new_full((len(seeds), 1), self.trunk.extra, dtype=torch.int64)
        with self._cache(len(seeds)):
            for place in range(self.trunk.length):
                token = draw(self._next(tokens[:, -1:], place), temperature, generators)
                tokens = torch.cat((tokens, token), dim=1)
        return tokens[:, 1:]

    @contextmanager
    def _cache(self, num: int) -> Iterator[None]:
        layers = [module for module in self.modules() if isinstance(module, CausalAttention)]
        empty = self.trunk.position_embedding.new_empty(num, layers[0].num_heads, 0, self.trunk.head_dim)
        try:
            for layer in layers:
                layer.past = empty, empty
            yield
        finally:
            for layer in layers:
                layer.past = None
