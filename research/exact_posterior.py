"""Sample stories with the exact posterior of their grammar: what does a sampler lose by itself?

    python -m research.exact_posterior [--steps 16 8 4] [--texts 24] [--gamma 0] [--evidence 1] [--grammar FILE] [--start RULE]

Lists every story of the grammar (a few hundred thousand at most), and estimates the clean image behind a noisy one by its
exact mean over all of them. `--evidence` weighs what the image says about a token itself, as `objective.evidence` does.
The path, grid and codec are those of `jit-nano`. Prints the share of valid samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from jitkit.assembly import assemble
from jitkit.diffusion.context_free import context_free_logits
from jitkit.diffusion.noise_source import NoiseSource
from jitkit.pipeline import Pipeline
from jitkit.protocols import NoiseSchedule
from jitkit.recipe import open_recipe
from jitkit_plugins.grammar.choices import Bindings, choice
from jitkit_plugins.grammar.grammar import Expand, Grammar, Literal, Part
from jitkit_plugins.grammar.parser import violated
from jitkit_plugins.grammar.reading import TALES, read_grammar
from jitkit_plugins.samplers.sde import Sde
from research.command_line import run

NEGLIGIBLE = 1e-7  # posterior of a story that is left out of a mean
FEWEST = 1000  # stories that a mean keeps in any case


class ExactDenoiser:
    """The posterior mean of the clean image, over all stories of a grammar that is uniform over its stories."""

    def __init__(self, pipeline: Pipeline, stories: Sequence[str], evidence: float = 1.0) -> None:
        self.codec, self._schedule = pipeline.codec, pipeline.denoiser.schedule
        self._evidence = evidence
        self.tokens = torch.stack([pipeline.tokens_of(story) for story in stories], dim=1).int()  # [L, M]

    @property
    def schedule(self) -> NoiseSchedule:
        """The path from noise to data."""
        return self._schedule

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the mean image [B, 3, H, W] given `z` [B, 3, H, W] at times `t` [B]."""
        del x_prev  # the posterior depends on z alone
        logits = context_free_logits(z, t, schedule=self.schedule, codec=self.codec)
        return self.codec.mean_image(torch.stack([self._token_posterior(image) for image in logits]))

    def _token_posterior(self, logits: Tensor) -> Tensor:
        """Return the probabilities [L, V] of the tokens of one image, given log p(z | token) [L, V]."""
        likelihood = torch.zeros(self.tokens.shape[1])
        for of_place, tokens in zip(logits, self.tokens, strict=True):
            likelihood += of_place[tokens]
        posterior = likelihood.double().softmax(0)
        kept = posterior.topk(min(len(posterior), max(FEWEST, int((posterior > NEGLIGIBLE).sum())))).indices
        counts = [tokens[kept].bincount(posterior[kept], minlength=self.codec.vocab_size) for tokens in self.tokens]
        return (torch.stack(counts).log() + (self._evidence - 1) * logits).softmax(1).float()


def stories_of(grammar: Grammar) -> Iterator[str]:
    """Yield every story of a grammar once for each way to write it."""
    open_stories: list[tuple[str, tuple[Part, ...], Bindings]] = [("", (Expand(grammar.start),), {})]
    while open_stories:
        text, waiting, bindings = open_stories.pop()
        if not waiting:
            yield text
        elif isinstance(waiting[0], Literal):
            open_stories.append((text + waiting[0].text, waiting[1:], bindings))
        else:
            options = choice(grammar, waiting[0], bindings).options
            open_stories += [(text, (*option.template, *waiting[1:]), option.bindings) for option in options]


def main(arguments: Sequence[str]) -> None:
    """Sample at every number of steps."""
    parser = argparse.ArgumentParser(
        prog="python -m research.exact_posterior", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", nargs="+", type=int, default=[16, 8, 4], help="%(default)s")
    parser.add_argument("--texts", type=int, default=24, help="per number of steps (%(default)s)")
    parser.add_argument("--gamma", type=float, default=0.0, help="of the sampler sde (%(default)s)")
    parser.add_argument("--evidence", type=float, default=1.0, help="weight of the evidence (%(default)s)")
    parser.add_argument("--grammar", type=Path, default=TALES, help="default: the tales")
    parser.add_argument("--start", default="", help="the rule that stories begin with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of jit-nano")
    options = parser.parse_args(arguments)
    grammar = read_grammar(options.grammar, options.start)
    pipeline = assemble(open_recipe("jit-nano", overrides=options.set))
    denoiser = ExactDenoiser(pipeline, list(stories_of(grammar)), options.evidence)
    for steps in options.steps:
        noise = NoiseSource(
            range(options.texts), pipeline.codec.image_size, denoiser.schedule.noise_scale, pipeline.device
        )
        sampler, grid = Sde(gamma=options.gamma), denoiser.schedule.grid(steps)
        images = sampler.sample(denoiser, noise(), grid, fresh_noise=noise)
        texts = [pipeline.text_of(tokens) for tokens in pipeline.decode(images)]
        valid = sum(not violated(grammar, text) for text in texts) / len(texts)
        print(json.dumps({"steps": steps, "valid": valid, "distinct": len(set(texts)) / len(texts)}))


if __name__ == "__main__":
    run("exact_posterior", main)
