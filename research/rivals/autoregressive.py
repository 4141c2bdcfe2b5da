"""The autoregressive rival: each token from those before it, p(x) = prod p(x_i | x_1 .. x_(i-1))."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit_plugins.backbones.blocks import Attention
from jitkit_plugins.backbones.jit import JitSettings
from research.rivals.trunk import Trunk, draw, generators_of

LENGTH_FIRST = 2  # the axis of keys and values [B, A, N, K] along which tokens follow each other


class CausalAttention(Attention):
    """A token looks at itself and at those before it.

    While a text is written `past` holds the keys and values of all earlier tokens, and a call brings the next one only.
    """

    past: tuple[Tensor, Tensor] | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return what each token gathers, [B, A, N, K]."""
        if self.past is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        k, v = (torch.cat(pair, dim=LENGTH_FIRST) for pair in zip(self.past, (k, v), strict=True))
        self.past = k, v
        return F.scaled_dot_product_attention(q, k, v)


class Autoregressive(nn.Module):
    """A trunk that reads the text shifted by one: `extra` stands before the first token."""

    def __init__(self, settings: JitSettings, vocab_size: int, length: int) -> None:
        super().__init__()
        self.trunk = Trunk(settings, vocab_size, length, CausalAttention)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, L, V] of each of `tokens` [B, L], given those before it."""
        return self._next(F.pad(tokens[:, :-1], (1, 0), value=self.trunk.extra))

    def _next(self, before: Tensor, first: int = 0) -> Tensor:
        clean = torch.ones(len(before), device=before.device)  # t of data: nothing that it reads is noise
        logits: Tensor = self.trunk(before, clean, first)
        return logits

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean cross-entropy of each text [B], in nats a token: exact, so nothing is drawn."""
        return F.cross_entropy(self(tokens).transpose(1, 2), tokens, reduction="none").mean(1)

    @torch.inference_mode()
    def write(self, seeds: Sequence[int], *, temperature: float = 1.0) -> Tensor:
        """Return a window of tokens a seed, [B, L], in L evaluations of one token each."""
        generators = generators_of(seeds)
        written = self.trunk.position_embedding.new_full((len(seeds), 1), self.trunk.extra, dtype=torch.int64)
        with self._writing(len(seeds)):
            for place in range(self.trunk.length):
                token = draw(self._next(written[:, -1:], place), temperature, generators)
                written = torch.cat((written, token), dim=1)
        return written[:, 1:]

    @contextmanager
    def _writing(self, num: int) -> Iterator[None]:
        layers = [module for module in self.modules() if isinstance(module, CausalAttention)]
        nothing = self.trunk.position_embedding.new_empty(num, layers[0].num_heads, 0, self.trunk.head_dim)
        try:
            for layer in layers:
                layer.past = nothing, nothing
            yield
        finally:
            for layer in layers:
                layer.past = None
