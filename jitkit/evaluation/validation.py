"""The validation loss: the training loss on held-out windows under fixed noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.noising import draw_noised
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.errors import InputError
from jitkit.evaluation.context import eval_mode
from jitkit.evaluation.noise import window_generators
from jitkit.protocols import LearnedSchedule, Noised


@torch.no_grad()
def validation_losses(
    denoiser: Denoiser, tokens: Tensor, *, seed: int, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[list[float]]:
    """Yield the training losses of the windows `tokens` [N, L] int64 (on the CPU), batch by batch.

    t, noise, known pixels, and whether to self-condition are drawn as in training, but from a generator seeded by the
    seed and the window's tokens: a model has the same loss in any order of windows, in training and in `jitkit eval`. A
    learned schedule is used in its initial state. Raises InputError if N = 0.
    """
    if not len(tokens):
        raise InputError("no held-out window", "at least one")
    denoiser = denoiser.as_trained()
    if isinstance(denoiser.schedule, LearnedSchedule):
        denoiser = replace(denoiser, schedule=denoiser.schedule.at_start())
    with eval_mode(denoiser.network):
        for rows in torch.split(tokens, batch_size):
            generators = window_generators(seed, rows, "validation")
            batch = _noised(denoiser, rows, generators, device)
            yield diffusion_loss(denoiser, batch, condition=_condition(denoiser, generators)).tolist()


def _noised(
    denoiser: Denoiser, tokens: Tensor, generators: Sequence[torch.Generator], device: torch.device | str
) -> Noised:
    """Return the batch of windows [B, L], each noised with its own generator."""
    parts = [
        draw_noised(
            row.unsqueeze(0),
            codec=denoiser.codec,
            schedule=denoiser.schedule,
            objective=denoiser.objective,
            generator=generator,
            device=device,
        )
        for row, generator in zip(tokens, generators, strict=True)
    ]
    found = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Noised)}
    batch: dict[str, Any] = {name: None if parts[0] is None else torch.cat(parts) for name, parts in found.items()}
    return Noised(**batch)


def _condition(denoiser: Denoiser, generators: Sequence[torch.Generator]) -> Tensor | None:
    """Return which images [B] are self-conditioned (1 or 0); None if the model does not use self-conditioning.

    Guidance is not drawn, so that losses are comparable with those of models that do not learn it.
    """
    drawn = [draw_self_conditioning(1, objective=denoiser.objective, generator=generator) for generator in generators]
    coins = [coin for coin in drawn if coin is not None]
    return torch.cat(coins) if coins else None
