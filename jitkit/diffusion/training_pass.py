"""From noised images to the training loss."""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.guidance import cfg_target
from jitkit.diffusion.self_conditioning import first_pass
from jitkit.execution.device import to_device
from jitkit.protocols import Noised


def diffusion_loss(denoiser: Denoiser, batch: Noised, *, condition: Tensor | None) -> Tensor:
    """Return the loss of each image [B] float32.

    Self-conditioning follows Chen et al. 2022, "Analog Bits", algorithm 1. Where `condition` [B] (on the CPU) is above
    0, the network first estimates the image without gradient and then takes this estimate as `x_prev`. Elsewhere
    `x_prev` is zero, as in the first step of a sampling trajectory, and there is no first pass. `condition` is also the
    guidance scale that a network with learned guidance takes. None means a network without self-conditioning.
    """
    return loss_of(training_output(denoiser, batch, condition=condition), denoiser, batch)


def training_output(denoiser: Denoiser, batch: Noised, *, condition: Tensor | None) -> Tensor:
    """Return the network's output [B, C, H, W] as it enters the loss; `condition` as in `diffusion_loss`."""
    if condition is None:
        return denoiser.network_output(batch.z, batch.t, x_prev=None, known=batch.known, scale=None)
    scale = to_device(condition, batch.t.device)
    x_prev, without = first_pass(denoiser, batch, condition)
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
    return mean_over_unknown(error, batch.known)


def mean_over_unknown(error: Tensor, known: Tensor | None) -> Tensor:
    """Return the mean [B] of `error` [B, 1, H, W] over pixels that are not `known` [B, 1, H, W]; 0 if all are known."""
    if known is None:
        return error.mean((1, 2, 3))
    unknown = 1 - known
    return (error * unknown).sum((1, 2, 3)) / unknown.sum((1, 2, 3)).clamp(min=1)
