"""The transformer block of JiT: RMSNorm, attention with qk-norm and rotary positions, SwiGLU, AdaLN-Zero.

This module has the matrix products. The formulas between them are in `formulas`, with fast CPU versions in `fast`.

Letters in shapes: B images, N patches, D width, A heads, K width of a head (D = A K).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit.execution.device import runs_on_cpu
from jitkit_plugins.backbones.fast import heads, rms_norm, swiglu
from jitkit_plugins.backbones.rotary import Rotation

Time = Literal["adaln", "input", "none"]

MAX_UNFUSED = 512  # patches; the float32 scores of 4 images then take 50 MB per block


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return `x` [B, N, D], normalized, scaled by 1 + `scale` and shifted by `shift`, both [B, 1, D]."""
    return rms_norm(x, 1 + scale, shift)


class Attention(nn.Module):
    """Full attention: softmax(q k / sqrt(K)) v, with q and k normalized and rotated by position."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.qk_norm = nn.Parameter(torch.ones(2, 1, width // num_heads))  # the RMSNorm weights of q and of k
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # [B, N, 3, A, K]
        q, k, v = heads(qkv, self.qk_norm, rotation)  # [B, A, N, K] each
        mapped: Tensor = self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return mapped

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the attention output, all shapes [B, A, N, K]; subclasses may restrict it."""
        return attend(q, k, v)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(K)) v for q, k, v [B, A, N, K], with torch's fused kernel or unfused on a CPU.

    On a CPU with a few hundred patches, the fused kernel's backward pass is slower, in bfloat16 by several times.
    """
    if not runs_on_cpu(q) or q.shape[2] > MAX_UNFUSED:
        return F.scaled_dot_product_attention(q, k, v)
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
    return torch.matmul(scores.softmax(dim=-1), v)


class SwiGLU(nn.Module):
    """A gated feed-forward layer: W_out (silu(W_gate x) * W_up x) (Shazeer 2020, eq. 6)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        mapped: Tensor = self.out(swiglu(self.gate_up(x)))
        return mapped


class ConstantModulation(nn.Module):
    """A learned modulation that does not depend on the condition, in contrast to AdaLN."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, condition: Tensor | None) -> Tensor:
        """Return it as [1, size]."""
        return self.bias[None]


def modulation(time: Time, width: int, size: int) -> nn.Module:
    """Return the module that outputs `size` shifts, scales and gates: linear in the condition [B, width], or constant."""
    return nn.Linear(width, size) if time == "adaln" else ConstantModulation(size)


class Block(nn.Module):
    """Attention, then SwiGLU, each between a modulated RMSNorm and a gate (AdaLN-Zero: Peebles & Xie 2023, section 3.2).

    Shifts, scales and gates are linear in the condition with `time = "adaln"`, and constant otherwise. A new block is the
    identity. Linear gates start at zero. Constant gates would leave zero slowly, so they start at one, and the layers
    before them at zero.
    """

    def __init__(self, width: int, num_heads: int, hidden: int, time: Time = "adaln") -> None:
        super().__init__()
        self.attention = Attention(width, num_heads)
        self.feed_forward = SwiGLU(width, hidden)
        self.modulation = modulation(time, width, 6 * width)

    def open_gates(self) -> None:
        """Initialize a block with constant modulation as the identity, with gates at one."""
        assert isinstance(self.modulation, ConstantModulation)
        for gate in self.modulation.bias.detach().chunk(6)[2::3]:
            nn.init.ones_(gate)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.feed_forward.out.weight)

    def forward(self, x: Tensor, condition: Tensor | None, rotation: Rotation) -> Tensor:
        """Map `x` [B, N, D] to [B, N, D], given `condition` [B, D], [1, D] for all images, or None without any."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = torch.addcmul(x, gate_1, self.attention(modulate(x, shift_1, scale_1), rotation))
        return torch.addcmul(x, gate_2, self.feed_forward(modulate(x, shift_2, scale_2)))
