"""How many hidden tokens the model fills in correctly, given the rest of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.component import Component
from jitkit.diffusion.context_free import images_per_batch
from jitkit.documents.rows import Measurement, Row
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit_plugins.metrics.bigrams import BigramModel, bigram_model_of
from jitkit_plugins.metrics.recovery import STEPS, accuracies, counted, estimates

SHARES = {"15 %": 0.15, "50 %": 0.5}
SECOND_HALF = "second half"
CERTAIN = 1e4  # log-odds of a token that is given


class InfillRecovery(Component):
    """Share of hidden held-out tokens filled in correctly: 15 %, 50 %, and the second half of a window are hidden."""

    name: ClassVar[str] = "infill_recovery"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for each mask: `filled`, `contextless`, `bigram`, each in [0, 1], over the hidden tokens.

        The pixels of given tokens are clean, those of hidden ones start from pure noise; the trajectory is that of
        `TokenRecovery`. `contextless` always predicts the most frequent token; `bigram` knows the given neighbors.
        Padding is neither hidden nor scored. Raises CannotMeasureError for a model that cannot be conditioned.
        """
        if not context.pipeline.denoiser.accepts_known:
            problem = "a model without known pixels, self-conditioning and token posterior"
            options = "objective.known or objective.self_conditioning above 0, or objective.token_posterior"
            raise CannotMeasureError(problem, f"one trained with {options}", field=self.name)
        advance = context.counter("infilling", (len(SHARES) + 1) * STEPS * len(context.windows), shared=True)
        windows, bigrams = context.windows, bigram_model_of(context)
        most_frequent = windows[context.text_mask].mode().values
        rows: list[Row] = []
        for name, hidden in _masks(context):
            found = {
                "filled": fill(context, hidden, advance),
                "contextless": most_frequent.expand_as(windows),
                "bigram": fill_with_bigrams(bigrams, windows, hidden, context.batch_size) if bigrams else None,
            }
            rows.append({"hidden": name, **accuracies(context, found, hidden), "tokens": int(hidden.sum())})
        return rows


@torch.inference_mode()
def fill(context: EvaluationContext, hidden: Tensor, advance: Callable[[int], None]) -> Tensor:
    """Return the windows [N, L] int64 with the `hidden` [N, L] bool tokens filled in by the model, from pure noise."""
    pipeline = context.pipeline
    codec, denoiser, device = pipeline.codec, pipeline.denoiser, pipeline.device
    scale = denoiser.schedule.noise_scale

    def filled(rows: Tensor, masks: Tensor) -> list[Tensor]:
        known = codec.pixel_mask(~masks.to(device))
        given = denoiser.with_known_pixels(codec.encode(rows.to(device)), known.float())
        z = draw_noise(window_generators(context.seed, rows, "infill"), codec.image_size, scale).to(device)
        *_, last = counted(estimates(given, z, denoiser.schedule.grid(STEPS)), advance)
        return [pipeline.decode(last)]

    return context.over_batches(filled, context.windows, hidden)[0]


def fill_with_bigrams(bigrams: BigramModel, windows: Tensor, hidden: Tensor, batch_size: int) -> Tensor:
    """Return `windows` [N, L] int64 with the `hidden` tokens filled in by `bigrams`."""
    size = min(batch_size, images_per_batch(windows.shape[1], bigrams.vocab_size))
    parts = []
    for rows, masks in zip(torch.split(windows, size), torch.split(hidden, size), strict=True):
        logits = torch.zeros(*rows.shape, bigrams.vocab_size)
        logits.scatter_(2, rows[:, :, None], torch.where(masks, 0.0, CERTAIN)[:, :, None])
        parts.append(bigrams.decode(logits))
    return torch.cat(parts)


def _masks(context: EvaluationContext) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the hidden tokens [N, L] bool of each mask; they depend on the window only."""
    num, length = context.windows.shape
    generators = window_generators(context.seed, context.windows, "hidden")
    order = torch.stack([torch.rand(length, generator=generator) for generator in generators]).argsort(1).argsort(1)
    for name, share in SHARES.items():
        yield name, (order < max(1, round(share * length))) & context.text_mask
    yield SECOND_HALF, (torch.arange(length) >= length // 2).expand(num, -1) & context.text_mask
