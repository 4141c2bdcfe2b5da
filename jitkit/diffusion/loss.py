"""From tokens to the training loss, with all randomness from outside."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.guidance import NONE, cfg_target, draw_scales
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.execution.device import to_device
from jitkit.execution.runtime_network import RuntimeNetwork
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Codec, Noised, NoiseSchedule, Objective

MAX_CUTS = 4


def draw_noised(
    tokens: Tensor,
    *,
    codec: Codec,
    schedule: NoiseSchedule,
    objective: Objective,
    generator: torch.Generator,
    device: torch.device | str,
) -> Noised:
    """Return `tokens` [B, L] int64 as noised images on `device`.

    `generator` lives on the CPU, whatever the device, and gives the times, then the noise, then the known tokens.
    """
    tokens = to_device(tokens, device)
    x = codec.encode(tokens)
    t = to_device(schedule.draw(len(tokens), generator), device)
    noise = to_device(torch.randn(x.shape, generator=generator), device) * schedule.noise_scale
    z = interpolate(x, noise, levels_at(schedule, t))
    if not objective.known:
        return Noised(tokens, x, noise, t, z)
    given = draw_known(len(tokens), codec.capacity, objective.known, generator)
    mask = codec.pixel_mask(to_device(given, device))
    return Noised(tokens, x, noise, t, torch.where(mask, x, z), mask.float())


def draw_known(num: int, length: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return which tokens are given, [num, length] bool: none at all, a prefix, or random spans.

    A row has known tokens with `probability`, never all of them. It is cut at random places and its pieces are known and
    unknown in turn: one cut and a known first piece make a prefix (a prompt), which half of those rows are; the others
    have one to `MAX_CUTS` cuts and start with either (a continuation to the left, holes to fill in).
    """
    max_cuts = min(MAX_CUTS, length - 1)
    if max_cuts < 1:
        return torch.zeros(num, length, dtype=torch.bool)
    some, prefix, starts_known = (
        torch.rand(num, 1, generator=generator) < chance for chance in (probability, 0.5, 0.5)
    )
    num_cuts = torch.randint(1, max_cuts + 1, (num, 1), generator=generator).masked_fill(prefix, 1)
    places = torch.rand(num, length - 1, generator=generator).topk(max_cuts).indices + 1  # distinct, in random order
    used = (torch.arange(max_cuts) < num_cuts).long()
    piece = torch.zeros(num, length, dtype=torch.long).scatter(1, places, used).cumsum(1)
    first_known = prefix | starts_known
    return some & ((piece % 2 == 0) == first_known)


def draw_condition(
    num: int, *, objective: Objective, generator: torch.Generator, guidance: Guidance = NONE
) -> Tensor | None:
    """Return by which scale the network's own first estimate guides each image of a batch, [num] float32 on the CPU.

    0 means that the image is not shown that estimate. Each image is with the probability of the objective, and any m in a
    row hold m times that many, rounded down or up: so the first pass costs the same in every step, and a compiled network
    meets one shape. None for a model without self-conditioning; nothing is drawn then.
    """
    if not objective.self_conditioning:
        return None
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    counts = (start + objective.self_conditioning * torch.arange(num + 1)).floor()
    return counts.diff().float() * draw_scales(num, guidance, generator)


def diffusion_loss(denoiser: Denoiser, batch: Noised, *, condition: Tensor | None) -> Tensor:
    """Return the loss of each image [B] float32.

    Self-conditioning (Chen et al. 2022, "Analog Bits", algorithm 1): where `condition` [B] (on the CPU) is above 0, the
    network first estimates the image without gradient and is then given that estimate as `x_prev`; elsewhere `x_prev` is
    zeros, as in the first sampling step. Only the images that need it take the first pass. None means a network without
    this input. Where `condition` is not 1 it is the scale of guidance that the network is told, and learns.
    """
    return loss_of(training_output(denoiser, batch, condition=condition), denoiser, batch)


def training_output(denoiser: Denoiser, batch: Noised, *, condition: Tensor | None) -> Tensor:
    """Return what the network says [B, C, H, W] of the batch, as the loss reads it; `condition` as in `diffusion_loss`."""
    if condition is None:
        return denoiser.network_output(batch.z, batch.t, x_prev=None, known=batch.known, scale=None)
    scale = to_device(condition, batch.t.device)
    x_prev, without = _first_pass(denoiser, batch, condition)
    raw = denoiser.network_output(batch.z, batch.t, x_prev=x_prev, known=batch.known, scale=scale)
    return raw if without is None else cfg_target(raw, without, scale)


def loss_of(raw: Tensor, denoiser: Denoiser, batch: Noised) -> Tensor:
    """Return the loss of each image [B] float32, given the network's output."""
    return denoiser.objective.loss(raw, batch, schedule=denoiser.schedule, codec=denoiser.codec)


@torch.no_grad()
def squared_errors(raw: Tensor, denoiser: Denoiser, batch: Noised) -> Tensor:
    """Return the mean squared error of each image's estimate `x_hat` [B] float32, over channels and unknown pixels."""
    x_hat = denoiser.estimate(raw, batch.z, batch.t)
    error = (x_hat.float() - batch.x).square().mean(1, keepdim=True)
    if batch.known is None:
        return error.mean((1, 2, 3))
    unknown = 1 - batch.known
    return (error * unknown).sum((1, 2, 3)) / unknown.sum((1, 2, 3)).clamp(min=1)


@torch.no_grad()
def _first_pass(denoiser: Denoiser, batch: Noised, condition: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the estimates of the images that are to be shown their estimate, zeros for the others.

    Beside them are the raw outputs, in the same way, for a network that learns guidance; None for others.
    """
    x_prev, without = torch.zeros_like(batch.x), None
    if denoiser.guidance.learned > 1:
        channels = denoiser.objective.channels(denoiser.codec)
        without = batch.x.new_zeros(len(batch.x), channels, *batch.x.shape[2:])
    chosen = condition.nonzero().squeeze(1)
    if num := len(chosen):
        rows = to_device(_as_many_each_step(chosen, denoiser, batch), batch.z.device)
        z, t, known = batch.z[rows], batch.t[rows], None
        if batch.known is not None:
            known = batch.known[rows]
            denoiser = denoiser.given(batch.x[rows], known)
        raw = denoiser.network_output(z, t, x_prev=None, known=known, scale=None)
        estimate, rows = denoiser.estimate(raw, z, t), rows[:num]
        x_prev[rows] = estimate[:num].to(x_prev.dtype)
        if without is not None:
            without[rows] = raw[:num].to(without.dtype)
        # Older torch, which we support, keeps the weights that autocast casts here, without gradient, for the second
        # pass too, which then trains nothing (pytorch issue 112583).
        torch.clear_autocast_cache()
    return x_prev, without


def _as_many_each_step(rows: Tensor, denoiser: Denoiser, batch: Noised) -> Tensor:
    """Return `rows`, on a GPU or compiled with the last one once more where chance has rounded their number down.

    So a compiled network meets one shape, which is worth an image; what is said of that one is left out.
    """
    one_shape = batch.z.is_cuda or (
        isinstance(denoiser.network, RuntimeNetwork) and denoiser.network.execution.compiled
    )
    most = math.ceil(denoiser.objective.self_conditioning * len(batch.z))
    return torch.cat((rows, rows[-1:])) if one_shape and len(rows) == most - 1 else rows
