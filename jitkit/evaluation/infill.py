"""Hidden tokens, filled in by the model from those around them, and by a table of pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from jitkit.evaluation.at_once import windows_at_once
from jitkit.evaluation.bigrams import Bigrams
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.evaluation.recovery import STEPS, estimates
from jitkit.pipeline import Pipeline

CERTAIN = 1e4  # log-odds of a token that is given


@torch.inference_mode()
def fill(
    pipeline: Pipeline,
    windows: Tensor,
    hidden: Tensor,
    *,
    seed: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> Tensor:
    """Return `windows` [N, L] int64 with the `hidden` [N, L] bool tokens filled in by Euler's walk from pure noise."""
    codec, denoiser, device = pipeline.codec, pipeline.denoiser, pipeline.device
    scale, parts = denoiser.schedule.noise_scale, []
    for rows, masks in zip(torch.split(windows, batch_size), torch.split(hidden, batch_size), strict=True):
        known = codec.pixel_mask(~masks.to(device))
        given = denoiser.given(codec.encode(rows.to(device)), known.float())
        z = draw_noise(window_generators(seed, rows, "infill"), codec.image_size, scale).to(device)
        for filled in estimates(given, z, denoiser.schedule.grid(STEPS)):
            advance(len(filled))
        parts.append(codec.decode(filled).cpu())
    return torch.cat(parts)


def fill_by_pairs(bigrams: Bigrams, windows: Tensor, hidden: Tensor, batch_size: int) -> Tensor:
    """Return `windows` [N, L] int64 with the `hidden` tokens as `bigrams` fill them in, of which nothing is seen."""
    at_once = min(batch_size, windows_at_once(windows.shape[1], bigrams.vocab_size))
    parts = []
    for rows, masks in zip(torch.split(windows, at_once), torch.split(hidden, at_once), strict=True):
        logits = torch.zeros(*rows.shape, bigrams.vocab_size)
        logits.scatter_(2, rows[:, :, None], torch.where(masks, 0.0, CERTAIN)[:, :, None])
        parts.append(bigrams.read(logits))
    return torch.cat(parts)
