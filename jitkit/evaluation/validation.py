"""The validation loss: the training loss on held-out windows under noise that never changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.loss import diffusion_loss, draw_condition, draw_noised
from jitkit.errors import InputError
from jitkit.evaluation.noise import window_generators
from jitkit.protocols import LearnedSchedule, Noised


@torch.no_grad()
def validation_losses(
    denoiser: Denoiser,
    tokens: Tensor,
    *,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> list[float]:
    """Return the training loss of each of the windows `tokens` [N, L] int64 (on the CPU).

    t, noise, known pixels and the coin of self-conditioning are drawn as in training, but from a generator that follows
    from the seed and the window's own tokens: the same model and windows give the same figure in any order, epoch after
    epoch and in `jitkit eval`. A schedule that learns is taken as it was at the start. `advance` is told the number of windows after each batch. Raises InputError when N = 0.
    """
    if not len(tokens):
        raise InputError("no held-out window", "at least one")
    if isinstance(denoiser.schedule, LearnedSchedule):
        denoiser = replace(denoiser, schedule=denoiser.schedule.at_start())
    losses: list[float] = []
    with evaluating(denoiser.network):
        for rows in torch.split(tokens, batch_size):
            generators = window_generators(seed, rows, "validation")
            batch = _noised(denoiser, rows, generators, device)
            losses += diffusion_loss(denoiser, batch, condition=_condition(denoiser, generators)).tolist()
            if advance:
                advance(len(rows))
    return losses


def validation_loss(
    denoiser: Denoiser,
    tokens: Tensor,
    *,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> float:
    """Return the mean of `validation_losses`."""
    losses = validation_losses(denoiser, tokens, seed=seed, batch_size=batch_size, device=device, advance=advance)
    return math.fsum(losses) / len(losses)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and back into the mode it was in."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _noised(
    denoiser: Denoiser, tokens: Tensor, generators: Sequence[torch.Generator], device: torch.device | str
) -> Noised:
    """Return the batch of windows [B, L], each noised by its own generator."""
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
    known = [part.known for part in parts if part.known is not None]
    return Noised(
        tokens=torch.cat([part.tokens for part in parts]),
        x=torch.cat([part.x for part in parts]),
        noise=torch.cat([part.noise for part in parts]),
        t=torch.cat([part.t for part in parts]),
        z=torch.cat([part.z for part in parts]),
        known=torch.cat(known) if known else None,
    )


def _condition(denoiser: Denoiser, generators: Sequence[torch.Generator]) -> Tensor | None:
    """Return which images [B] are given the network's own first estimate (1; 0: not); None where the model takes none.

    Guidance is not drawn: the losses of models that learn it and of others can be compared.
    """
    drawn = [draw_condition(1, objective=denoiser.objective, generator=generator) for generator in generators]
    coins = [coin for coin in drawn if coin is not None]
    return torch.cat(coins) if coins else None
