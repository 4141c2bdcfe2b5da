"""Guidance: moving outputs further towards a condition. By known pixels it did not help infilling (0.586 vs. 0.587).

Let `given` be a network's output with a condition and `without` its output without. Guidance of scale w uses::

    guided = without + w (given - without)                                                    (1)

w = 1 is the network itself, w = 0 its output without the condition. For squared errors this is classifier-free guidance
(Ho and Salimans 2022, 2207.12598), whatever the prediction target. For cross-entropies, whose logits are linear in the
output, it is the posterior ``p(without)^(1 - w) p(given)^w``: the estimate remains a mean of codewords.

A network that takes w as an input can learn to output `guided` directly (ELF, 2605.10938). It is then trained on its
output without guidance, (1) solved for `given`::

    given = guided + (1 - 1/w) (without - guided)                                             (2)

The second term has no gradient, so large scales learn as fast as small ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.errors import ManifestError
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Objective

MIN_SCALE = 0.5  # the smallest scale that is learned
NONE = Guidance()


def guide(without: Tensor, given: Tensor, scale: Tensor) -> Tensor:
    """Return the guided output [B, C, H, W], equation (1), for `scale` [B]; exactly `given` where it is 1."""
    return torch.lerp(without, given, scale[:, None, None, None].to(given.dtype))


def cfg_target(guided: Tensor, without: Tensor, scale: Tensor) -> Tensor:
    """Return `guided` [B, C, H, W] without its guidance, equation (2); `guided` itself where `scale` [B] is 0 or 1."""
    share = torch.where(scale > 0, 1 - 1 / scale.clamp(min=MIN_SCALE), 0)[:, None, None, None]
    return guided + (share * (without - guided)).detach()


def draw_scales(num: int, guidance: Guidance, generator: torch.Generator) -> Tensor:
    """Return the guidance scales [num] float32 of a training batch, on the CPU.

    They lie between `MIN_SCALE` and the largest scale to learn; 1 + scale is log-uniform, as in ELF. If none is learned
    they are 1, and nothing is drawn.
    """
    if guidance.learned == 1:
        return torch.ones(num)
    low, high = torch.tensor([1 + MIN_SCALE, 1 + guidance.learned]).log()
    return torch.expm1(low + (high - low) * torch.rand(num, generator=generator))


def check_guidance(guidance: Guidance, objective: Objective) -> None:
    """Raise ManifestError, its field relative to `[guidance]`, for guidance that no network of `objective` can give."""
    if guidance.learned > 1 and not objective.self_conditioning:
        found = f"{guidance.learned:g} with objective.self_conditioning 0"
        raise ManifestError(found, "1, or a model with self-conditioning", field="learned")
    scale = guidance.self_conditioning
    if scale != 1 and not MIN_SCALE <= scale <= guidance.learned:
        expected = f"{MIN_SCALE:g} to {guidance.learned:g}" if guidance.learned > 1 else "1"
        hint = "Train with guidance.learned at the largest scale you want."
        found = f"{scale:g} for a model that has learned {'scales' if guidance.learned > 1 else 'no scale but 1'}"
        raise ManifestError(found, f"{expected} (guidance.learned)", field="self_conditioning", hint=hint)
    if guidance.known != 1 and not (0 < objective.known < 1 or (objective.token_posterior and objective.known == 0)):
        found = f"{guidance.known:g} for a model that was trained with objective.known {objective.known:g}"
        hint = "Train with objective.known between 0 and 1, or with objective.token_posterior = true."
        raise ManifestError(found, "1, or a model trained with and without known pixels", field="known", hint=hint)
