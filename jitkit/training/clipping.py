"""Clipping of gradients by their norm (Pascanu et al. 2013)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from jitkit.execution.precision import widest_float
from jitkit.parallel.sharding import full


def clip_gradients(parameters: Iterable[Tensor], max_norm: float | None) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`, unless that is None.

    Returns the norm before, float32. The squares are summed in float64: rounded to float32, the norm does not depend on
    how gradients are split among processes, except in one of 10^8 steps. It is infinite if its square is too large for
    float32, which AdamW averages. MPS, which trains in one process, has no float64.
    """
    gradients = {parameter: parameter.grad for parameter in parameters if parameter.grad is not None}
    wide = widest_float(next(iter(gradients)).device)
    norms = torch._foreach_norm(list(gradients.values()), 2, dtype=wide)
    norm = full(torch.linalg.vector_norm(torch.stack(norms))).square().float().sqrt()
    nn.utils.clip_grads_with_norm_(gradients, max_norm or math.inf, norm)
    return norm
