"""The masked competitor: MDLM, absorbing discrete diffusion (Sahoo et al. 2024, 2406.07524; Shi et al. 2024, 2406.04329).

At masking rate s each token is hidden with probability s, independently of the others. This is their log-linear schedule,
alpha = 1 - s. The bound on -log p(x) (their equation 10) is the integral over s from 0 to 1 of ::

    1/s  sum over hidden i of  -log p(x_i | visible)

The SUBS parameterization: the mask is never predicted (the trunk has no such output), and visible tokens stay unchanged
(`fill` replaces masks only). The network therefore predicts p(x_i | visible) for every s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit_plugins.backbones.jit import JitSettings
from research.competitors.trunk import Trunk, draw, generators_of

Order = Literal["random", "confidence"]
MIN_RATE = 1e-3  # in training. Below it, 1/s weights a single token in a thousand texts.


class Masked(nn.Module):
    """A trunk whose `extra` id is the mask. Its time input is the share of visible tokens."""

    def __init__(self, settings: JitSettings, vocab_size: int, length: int) -> None:
        super().__init__()
        self.trunk = Trunk(settings, vocab_size, length)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [B, L, V] for the hidden ones of `tokens` [B, L]."""
        logits: Tensor = self.trunk(tokens, (tokens != self.trunk.extra).float().mean(1))
        return logits

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return an unbiased estimate of each text's bound [B], in nats per token.

        Masking rates are stratified over the batch, like the times of jitkit's schedules.
        """
        num = len(tokens)
        strata = torch.randperm(num, generator=generator) + torch.rand(num, generator=generator)
        rate = (strata / num).clamp(min=MIN_RATE)
        hidden = torch.rand(tokens.shape, generator=generator) < rate[:, None]
        rate, hidden = rate.to(tokens.device), hidden.to(tokens.device)
        return bound(self(tokens.masked_fill(hidden, self.trunk.extra)), tokens, hidden, rate)

    @torch.inference_mode()
    def generate(self, seeds: Sequence[int], *, evaluations: int, temperature: float = 1.0, order: Order) -> Tensor:
        """Return tokens [B, L], one window per seed."""
        empty = torch.full((len(seeds), self.trunk.length), self.trunk.extra)
        holes = empty.to(self.trunk.position_embedding.device)
        return fill(self, holes, seeds, evaluations=evaluations, temperature=temperature, order=order)

    @torch.inference_mode()
    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int) -> Tensor:
        """Return `tokens` [B, L] with the most probable ones where `hidden` [B, L] is true, most confident first."""
        holes = tokens.masked_fill(hidden, self.trunk.extra)
        return fill(self, holes, range(len(tokens)), evaluations=evaluations, temperature=0, order="confidence")


def bound(logits: Tensor, tokens: Tensor, hidden: Tensor, rate: Tensor) -> Tensor:
    """Return the integrand of the bound [B], in nats per token, for `tokens` and `hidden` [B, L] at `rate` [B]."""
    losses = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return (losses * hidden).mean(1) / rate


def fill(
    predict: Callable[[Tensor], Tensor],
    tokens: Tensor,
    seeds: Sequence[int],
    *,
    evaluations: int,
    temperature: float,
    order: Order,
) -> Tensor:
    """Return `tokens` [B, L] with every mask replaced, in at most `evaluations` calls of `predict` ([B, L] to [B, L, V]).

    The mask is the id V. Each call fills an equal share of the masks. In "random" order, one call per mask reverses the
    diffusion exactly (first-hitting sampler, Zheng et al. 2024, 2409.02908), and fewer calls are its ancestral sampler with
    equal counts. In "confidence" order, the masks with the most probable drawn tokens come first (MaskGIT).
    """
    generators = generators_of(seeds)
    for calls_left in range(evaluations, 0, -1):
        logits = predict(tokens)
        holes = tokens == logits.shape[-1]
        drawn = draw(logits, temperature, generators)
        if order == "random":
            first = torch.stack([torch.rand(tokens.shape[1], generator=g) for g in generators]).to(tokens.device)
        else:
            first = logits.log_softmax(-1).gather(-1, drawn[..., None])[..., 0].exp()
        rank = first.masked_fill(~holes, -1).argsort(1, descending=True).argsort(1)
        number = -(-holes.sum(1) // calls_left)
        tokens = torch.where(rank < number[:, None], drawn, tokens)
    return tokens
