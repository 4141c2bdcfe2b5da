"""Perfect models without training, whose metrics are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from jitkit.assembly import assemble, resolve
from jitkit.diffusion.process import levels_at
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.evaluation.context import EvaluationContext
from jitkit.files import Files
from jitkit.manifest import parse_manifest
from jitkit.pipeline import Pipeline
from jitkit.protocols import Codec, NoiseSchedule

TINY = """
schema_version = 1
id = "tiny"
summary = "a tiny model"
tokenizer = { use = "bytes" }
codec = { use = "bits" }
backbone = { use = "jit", image_size = 8, patch_size = 4, embed_dim = 16, depth = 1, num_heads = 2 }
schedule = { use = "flow" }
objective = { use = "flow", prediction = "x", known = 0.5 }
sampler = { use = "euler", steps = 4 }
data = { use = "python-docs" }
train = { max_steps = 1 }
"""

TRAINING_TEXT = "the quick brown fox jumps over the lazy dog, and the dog does not mind\n" * 20


class MemorizedImages(nn.Module):
    """The optimal x-predicting network if the data are the images `x` [M, 3, H, W].

    Its output, the posterior mean of the clean image given `z`, is the average of the images, weighted by
    ``exp(-|z - alpha x|^2 / (2 sigma^2 noise_scale^2))``.
    """

    def __init__(self, x: Tensor, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.x = nn.Buffer(x)
        self.schedule = schedule

    def forward(self, z: Tensor, t: Tensor, *, x_prev: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the posterior mean [B, 3, H, W]."""
        at = levels_at(self.schedule, t)
        squares = (z[:, None] - at.alpha[:, None] * self.x).square().flatten(2).sum(-1)  # [B, M]
        variance = (at.sigma.flatten(1) * self.schedule.noise_scale).square().clamp(min=1e-12)
        return torch.einsum("bm,mchw->bchw", (-squares / (2 * variance)).softmax(-1), self.x)


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
        """Return the posterior mean [B, 3, H, W]."""
        at = levels_at(self.schedule, t)
        alpha = at.alpha.clamp(min=1e-4)  # at t = 0 the noise is so large that z carries no information
        sigma = (at.sigma * self.schedule.noise_scale / alpha).flatten()
        squares = (self.codec.token_values(z / alpha)[:, :, None] - self.words).square().sum(3)  # [B, L, S]
        seen = (-squares / (2 * sigma.double().square().clamp(min=1e-12)[:, None, None])).softmax(2)
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


@cache
def tiny_pipeline(manifest: str = TINY) -> Pipeline:
    """Return the pipeline of a tiny manifest with a newly initialized network."""
    components = resolve(parse_manifest(manifest, "tiny.toml"), Registry(create_plugin_manager()), Files(Path.cwd()))
    return assemble(components)


def oracle_context(windows: Tensor, *, remembered: Tensor | None = None, batch_size: int = 4) -> EvaluationContext:
    """Return a context whose model has memorized `remembered` [M, L], by default the `windows` [N, L]."""
    pipeline = tiny_pipeline()
    x = pipeline.codec.encode(windows if remembered is None else remembered)
    denoiser = replace(pipeline.denoiser, network=MemorizedImages(x, pipeline.denoiser.schedule))
    return EvaluationContext(
        replace(pipeline, denoiser=denoiser),
        windows,
        seed=0,
        times=(0.3, 0.8),
        num_windows=len(windows),
        batch_size=batch_size,
        documents=lambda: [TRAINING_TEXT],
    )


def tiny_windows(num: int = 6) -> Tensor:
    """Return `num` different windows [num, L] int64 of ids that the tiny pipeline decodes to letters."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(97, 123, (num, tiny_pipeline().codec.capacity), generator=generator)
