"""Self-conditioning in training: which images see the network's own first estimate, and the pass that makes it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.guidance import NONE, draw_scales
from jitkit.execution.device import to_device
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Noised, Objective


def draw_self_conditioning(
    num: int, *, objective: Objective, generator: torch.Generator, guidance: Guidance = NONE
) -> Tensor | None:
    """Return the guidance scale of the network's own first estimate for each image, [num] float32 on the CPU.

    0 means that the image is not shown its estimate. Each image is shown it with the probability of the objective; of
    any m consecutive images, m times that many are, rounded down or up. So the first pass costs the same in every step,
    and a compiled network sees one shape. Returns None, and draws nothing, for a model without self-conditioning.
    """
    if not objective.self_conditioning:
        return None
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    counts = (start + objective.self_conditioning * torch.arange(num + 1)).floor()
    return counts.diff().float() * draw_scales(num, guidance, generator)


@torch.no_grad()
def first_pass(denoiser: Denoiser, batch: Noised, condition: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the estimates of the images with a first pass, zeros for the others.

    The second tensor holds the raw outputs in the same way for a network that learns guidance; None for others.
    """
    x_prev, without = torch.zeros_like(batch.x), None
    if denoiser.guidance.learned > 1:
        channels = denoiser.objective.channels(denoiser.codec)
        without = batch.x.new_zeros(len(batch.x), channels, *batch.x.shape[2:])
    chosen = condition.nonzero().squeeze(1)
    num = len(chosen)
    if num or parallel.world_size() > 1:
        rows = to_device(_padded(chosen, denoiser, batch), batch.z.device)
        z, t, known = batch.z[rows], batch.t[rows], None
        if batch.known is not None:
            known = batch.known[rows]
            denoiser = denoiser.with_known_pixels(batch.x[rows], known)
        raw = denoiser.network_output(z, t, x_prev=None, known=known, scale=None)
        estimate, rows = denoiser.estimate(raw, z, t), rows[:num]
        x_prev[rows] = estimate[:num].to(x_prev.dtype)
        if without is not None:
            without[rows] = raw[:num].to(without.dtype)
        # Older supported torch versions would reuse the weights that autocast casts here, without gradient, in the second
        # pass, which would then train nothing (pytorch issue 112583).
        torch.clear_autocast_cache()
    return x_prev, without


def _padded(rows: Tensor, denoiser: Denoiser, batch: Noised) -> Tensor:
    """Return `rows`, with the last one repeated if their number was rounded down and the shape should not change.

    One shape for every step saves recompilation and costs one image, whose result is dropped. Without any row it is the
    first image: each of several processes has to take the same number of passes.
    """
    if not len(rows):
        return torch.zeros(1, dtype=torch.int64)
    one_shape = batch.z.is_cuda or denoiser.static_shapes
    most = math.ceil(denoiser.objective.self_conditioning * len(batch.z))
    return torch.cat((rows, rows[-1:])) if one_shape and len(rows) == most - 1 else rows
