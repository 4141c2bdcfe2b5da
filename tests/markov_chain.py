"""A model that is perfect on a Markov chain of tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jitkit.diffusion.process import levels_at
from jitkit.protocols import Codec, NoiseSchedule


class MarkovChain(nn.Module):
    """The optimal x-predicting network if the tokens are a Markov chain.

    `initial` [S] and `transition` [S, S] are probabilities over the ids `states` [S]; with equal rows the tokens are
    independent. The posterior mean of the clean image given `z` comes from the forward-backward algorithm (Rabiner 1989).
    """

    def __init__(
        self, states: Tensor, initial: Tensor, transition: Tensor, codec: Codec, schedule: NoiseSchedule
    ) -> None:
        super().__init__()
        self.states, self.initial, self.transition = states, initial.double(), transition.double()
        self.codec, self.schedule = codec, schedule
        self.words = codec.token_values(codec.encode(states[:, None].expand(-1, codec.capacity)))[
            :, 0
        ].double()  # [S, n]

    def forward(self, z: Tensor, t: Tensor, *, x_prev: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the posterior mean [B, 3, H, W]; `z` is clean where `known` [B, 1, H, W] is 1."""
        at = levels_at(self.schedule, t)
        alpha = at.alpha.clamp(min=1e-4)  # at t = 0 the noise is so large that z carries no information
        sigma = (at.sigma * self.schedule.noise_scale / alpha).flatten()
        squares = (self.codec.token_values(z / alpha)[:, :, None] - self.words).square().sum(3)  # [B, L, S]
        seen = (-squares / (2 * sigma.double().square().clamp(min=1e-12)[:, None, None])).softmax(2)
        if known is not None:
            exact = (self.codec.token_values(z)[:, :, None] - self.words).square().sum(3).argmin(2)
            is_known = self.codec.token_values(known.expand_as(z))[:, :, :1] > 0.5  # [B, L, 1]
            seen = torch.where(is_known, nn.functional.one_hot(exact, len(self.states)).double(), seen)
        forward, backward = [self.initial * seen[:, 0]], [torch.ones_like(seen[:, 0])]
        for here in range(1, seen.shape[1]):
            forward.append(_normalized(forward[-1] @ self.transition * seen[:, here]))
            backward.append(_normalized((backward[-1] * seen[:, -here]) @ self.transition.T))
        posterior = _normalized(torch.stack(forward, 1) * torch.stack(backward[::-1], 1))
        return self.codec.image_from_values((posterior @ self.words).float())

    def log2_probability(self, tokens: Tensor) -> Tensor:
        """Return the log2 probability [N] float64 of `tokens` [N, L], all of them in `states`."""
        states = (tokens[:, :, None] == self.states).int().argmax(2)
        steps = self.transition[states[:, :-1], states[:, 1:]].log2().sum(1)
        return self.initial[states[:, 0]].log2() + steps

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return random windows [num, L] int64."""
        states = [torch.multinomial(self.initial.expand(num, -1), 1, generator=generator)[:, 0]]
        for _ in range(self.codec.capacity - 1):
            states.append(torch.multinomial(self.transition[states[-1]], 1, generator=generator)[:, 0])
        return self.states[torch.stack(states, 1)]


def _normalized(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)
