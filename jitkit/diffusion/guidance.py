"""Guidance: leaning further towards what a condition says than the data do.

Let a network say `given` where it is shown a condition and `without` where it is not. Guided by scale w it says::

    guided = without + w (given - without)                                                    (1)

w = 1 is the network itself, w = 0 its answer without the condition. This is done to raw outputs. For squared errors that
is classifier-free guidance (Ho and Salimans 2022, 2207.12598), whatever is predicted. For cross-entropies, whose logits
are linear in the output, it is the posterior ``p(without)^(1 - w) p(given)^w``: the estimate stays a mean of codewords.

A network that is told w can learn to say `guided` at once (ELF, 2605.10938). It is then trained on what its output would
be without guidance, (1) solved for `given`::

    given = guided + (1 - 1/w) (without - guided)                                             (2)

The second term has no gradient, so that large scales learn as fast as small ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.errors import ManifestError
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Objective

LEAST_SCALE = 0.5  # that is learned
NONE = Guidance()


def guide(without: Tensor, given: Tensor, scale: Tensor) -> Tensor:
    """Return the guided output [B, C, H, W], equation (1), for `scale` [B]; exactly `given` where it is 1."""
    return torch.lerp(without, given, scale[:, None, None, None].to(given.dtype))


def cfg_target(guided: Tensor, without: Tensor, scale: Tensor) -> Tensor:
    """Return what `guided` [B, C, H, W] would be without guidance, equation (2); `guided` where `scale` [B] is 0 or 1."""
    share = torch.where(scale > 0, 1 - 1 / scale.clamp(min=LEAST_SCALE), 0)[:, None, None, None]
    return guided + (share * (without - guided)).detach()


def draw_scales(num: int, guidance: Guidance, generator: torch.Generator) -> Tensor:
    """Return the scales [num] float32 that images of a batch are guided with, on the CPU.

    They lie between `LEAST_SCALE` and the largest that is to be learned, and 1 + scale is log-uniform, as in ELF. For a
    network that learns none they are 1, and nothing is drawn.
    """
    if guidance.learned == 1:
        return torch.ones(num)
    low, high = torch.tensor([1 + LEAST_SCALE, 1 + guidance.learned]).log()
    return torch.expm1(low + (high - low) * torch.rand(num, generator=generator))


def inputs_of(objective: Objective, guidance: Guidance) -> dict[str, bool]:
    """Return which optional inputs the network of a model is built with, see `jitkit.protocols.Backbone.build`."""
    return {
        "x_prev": objective.self_conditioning > 0,
        "known": objective.known > 0,
        "reading": objective.reading,
        "scale": guidance.learned > 1,
    }


def check_guidance(guidance: Guidance, objective: Objective) -> None:
    """Raise ManifestError, its field within the table `[guidance]`, for guidance that no network of `objective` can give."""
    if guidance.learned > 1 and not objective.self_conditioning:
        raise ManifestError(
            f"{guidance.learned:g} beside objective.self_conditioning 0",
            "1, or a model that is shown its own estimate",
            field="learned",
        )
    scale = guidance.self_conditioning
    if scale != 1 and not LEAST_SCALE <= scale <= guidance.learned:
        expected = f"{LEAST_SCALE:g} to {guidance.learned:g}" if guidance.learned > 1 else "1"
        raise ManifestError(
            f"{scale:g} for a model that has learned {'scales' if guidance.learned > 1 else 'no scale but 1'}",
            f"{expected} (guidance.learned)",
            field="self_conditioning",
            hint="Train with guidance.learned at the largest scale you want.",
        )
    if guidance.known != 1 and not (0 < objective.known < 1 or (objective.reading and objective.known == 0)):
        raise ManifestError(
            f"{guidance.known:g} for a model that was trained with objective.known {objective.known:g}",
            "1, or a model that knows images with and without known pixels",
            field="known",
            hint="objective.known above 0 and below 1 trains both; objective.reading = true needs no training with them.",
        )
