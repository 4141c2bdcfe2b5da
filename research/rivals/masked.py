"""The masked rival: MDLM, absorbing discrete diffusion (Sahoo et al. 2024, 2406.07524; Shi et al. 2024, 2406.04329).

At masked share s each token is hidden with probability s, independently of the others. As a path this is alpha = 1 - s,
their log-linear schedule, and the bound on -log p(x) (their equation 10) is the integral over s from 0 to 1 of ::

    1/s  sum over hidden i of  -log p(x_i | visible)

SUBS, their parameterisation: the mask is never predicted (the trunk has no such output), and a token that is visible stays
as it is (`fill` writes into holes only). So the network says one thing, p(x_i | visible), whatever s is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit_plugins.backbones.jit import JitSettings
from research.rivals.trunk import Trunk, draw, generators_of

Order = Literal["random", "confidence"]
LEAST_SHARE = 1e-3  # that is trained on: below it 1/s is the weight of one token in a thousand texts


class Masked(nn.Module):
    """A trunk whose `extra` id is the mask, told what share of a text it sees."""

    def __init__(self, settings: JitSettings, vocab_size: int, length: int) -> None:
        super().__init__()
        self.trunk = Trunk(settings, vocab_size, length)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, L, V] of what is hidden in `tokens` [B, L]."""
        logits: Tensor = self.trunk(tokens, (tokens != self.trunk.extra).float().mean(1))
        return logits

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return an unbiased estimate of the bound of each text [B], in nats a token.

        The shares are stratified over the batch, as the times of jitkit's schedules are.
        """
        num = len(tokens)
        strata = torch.randperm(num, generator=generator) + torch.rand(num, generator=generator)
        share = (strata / num).clamp(min=LEAST_SHARE)
        hidden = torch.rand(tokens.shape, generator=generator) < share[:, None]
        share, hidden = share.to(tokens.device), hidden.to(tokens.device)
        return bound(self(tokens.masked_fill(hidden, self.trunk.extra)), tokens, hidden, share)

    @torch.inference_mode()
    def write(self, seeds: Sequence[int], *, evaluations: int, temperature: float = 1.0, order: Order) -> Tensor:
        """Return a window of tokens a seed, [B, L]."""
        empty = torch.full((len(seeds), self.trunk.length), self.trunk.extra)
        holes = empty.to(self.trunk.position_embedding.device)
        return fill(self, holes, seeds, evaluations=evaluations, temperature=temperature, order=order)

    @torch.inference_mode()
    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int) -> Tensor:
        """Return `tokens` [B, L] with the likeliest ones where `hidden` [B, L] is true, the surest first."""
        holes = tokens.masked_fill(hidden, self.trunk.extra)
        return fill(self, holes, range(len(tokens)), evaluations=evaluations, temperature=0, order="confidence")


def bound(logits: Tensor, tokens: Tensor, hidden: Tensor, share: Tensor) -> Tensor:
    """Return the integrand of the bound [B], in nats a token, for `tokens` and `hidden` [B, L] at `share` [B]."""
    losses = F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    return (losses * hidden).mean(1) / share


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

    The mask is the id V. Each call fills an equal part of the holes: in random order, which with a call a hole is exactly the
    reverse of the diffusion (the times between its jumps say nothing of the text: first-hitting sampler, Zheng et al. 2024,
    2409.02908) and its ancestral sampler made even with fewer; or those first whose drawn token is likeliest (MaskGIT).
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
