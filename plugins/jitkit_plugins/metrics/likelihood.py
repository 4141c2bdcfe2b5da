"""How well a model predicts unseen text, in the unit that all language models share."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from jitkit.component import Component
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.likelihood import likelihood_bound
from jitkit_plugins.metrics.text_sizes import TextSizes, as_trained


class Likelihood(Component):
    """Upper bound of the bits that the model needs to say held-out text (variational, continuous time)."""

    name: ClassVar[str] = "likelihood"

    num_times: Annotated[int, Field(ge=1, description="places of the path at which each window is measured")] = 8

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `bits_per_token`, `bits_per_character`, `bits_per_byte` of all held-out windows, with their intervals.

        A row for the `bound`, one for each of its parts (see `jitkit.evaluation.likelihood`), and one for guessing every
        token with equal odds. The bits are those of whole windows, eos and padding included, divided by the number of
        tokens (padding is none), by that of characters, or by that of bytes of their text. A model trained with
        `train.pack` has hardly seen padding, so the window that the text's end leaves half empty is not measured. Raises
        InputError for windows without a character.
        """
        pipeline, windows, done = context.pipeline, as_trained(context, context.held_out), 0
        sizes = TextSizes.of(windows, pipeline.tokenizer)

        def advance(images: int) -> None:
            nonlocal done
            done += images
            context.progress("likelihood", done, len(windows) * self.num_times)

        bound = likelihood_bound(
            pipeline.denoiser,
            windows,
            seed=context.seed,
            batch_size=context.batch_size,
            num_times=self.num_times,
            device=pipeline.device,
            advance=advance,
        )
        parts = {
            "bound": bound.diffusion + bound.reconstruction,
            "diffusion": bound.diffusion,
            "reconstruction": bound.reconstruction,
            "uniform guess": torch.full_like(bound.diffusion, math.log2(pipeline.codec.vocab_size) * windows.shape[1]),
        }
        return [sizes.row(name, bits, context.seed) for name, bits in parts.items()]
