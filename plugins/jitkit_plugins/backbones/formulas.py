"""The formulas between the matrix products of a block, as in the papers. Shapes as in `blocks`; K is any vector's length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jitkit_plugins.backbones.rotary import Rotation, rotate

EPSILON = 1e-6


def inverse_rms(x: Tensor) -> Tensor:
    """Return 1 / root mean square of each vector of `x` [..., K], as [..., 1]."""
    mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1]
    return torch.rsqrt(mean_square + EPSILON)


def rms_norm(x: Tensor, gain: Tensor, shift: Tensor | None = None) -> Tensor:
    """Return each vector of `x` [..., K] at root mean square 1, times `gain`, plus `shift` (Zhang & Sennrich 2019, eq. 4)."""
    normed = x * inverse_rms(x)
    return normed * gain if shift is None else torch.addcmul(shift, normed, gain)


def heads(qkv: Tensor, gain: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k and v [B, A, N, K] from their common product [B, N, 3, A, K].

    q and k are normalized (qk-norm, Henry et al. 2020) with `gain` [2, 1, K], and rotated by position.
    """
    normed = rms_norm(qkv[:, :, :2], gain.to(qkv.dtype))
    q, k = rotate(normed, rotation).transpose(1, 3).unbind(2)
    return q, k, qkv[:, :, 2].transpose(1, 2)


def swiglu(gate_up: Tensor) -> Tensor:
    """Return silu(gate) * up [..., F] from their common product [..., 2 F] (Shazeer 2020, eq. 6)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
