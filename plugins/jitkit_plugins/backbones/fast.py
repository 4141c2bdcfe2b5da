"""Faster CPU versions of `formulas`: explicit gradients, a few images at a time.

Between matrix products a CPU is limited by memory bandwidth. Here an image passes through all operations while it is in the
cache, cheap intermediate values are recomputed, and gradients are written in place. Values and gradients equal those of the
formulas up to rounding. With n = x / rms(x), g the gradient of ``y = n gain + shift``, and K numbers in a vector::

    d shift = sum g        d gain = sum g n        dx = (g gain - n sum(g n gain) / K) / rms(x)

Other devices and torch.compile, which fuses operations itself, run the plain formulas. Second derivatives raise RuntimeError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from jitkit.execution.memory_usage import has_values
from jitkit_plugins.backbones import formulas
from jitkit_plugins.backbones.rotary import Rotation

CHUNK = 2**19  # numbers; smaller chunks wait for threads, larger ones for memory


def rms_norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Return `formulas.rms_norm` of `x` [B, N, K], with gain and shift [B, 1, K] or [1, 1, K]."""
    if not _is_faster(x):
        return formulas.rms_norm(x, gain, shift)
    return _RMSNorm.apply(x, gain, shift)  # type: ignore[no-any-return, no-untyped-call]


def heads(qkv: Tensor, gain: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Return `formulas.heads`: q, k and v [B, A, N, K] from their common product [B, N, 3, A, K]."""
    if not _is_faster(qkv):
        return formulas.heads(qkv, gain, rotation)
    return _Heads.apply(qkv, gain.to(qkv.dtype), *(table.to(qkv.dtype) for table in rotation))  # type: ignore[no-any-return, no-untyped-call]


def swiglu(gate_up: Tensor) -> Tensor:
    """Return `formulas.swiglu`: silu(gate) * up [..., F] from their common product [..., 2 F]."""
    if not _is_faster(gate_up):
        return formulas.swiglu(gate_up)
    return _SwiGLU.apply(gate_up)  # type: ignore[no-any-return, no-untyped-call]


def _is_faster(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _chunks(x: Tensor) -> Iterator[slice]:
    """Yield slices of the first axis of `x` with about `CHUNK` numbers each; only one if `x` has no values (simulation)."""
    size = max(1, CHUNK // max(1, x[0].numel()))
    for start in range(0, len(x) if has_values(x) else 1, size):
        yield slice(start, start + size)


def _norm_gradient(g: Tensor, x: Tensor, gain: Tensor, out: Tensor) -> Tensor:
    """Write dx into `out`; return g n, whose sum is the gradient of the gain."""
    inverse = formulas.inverse_rms(x)
    normed = x * inverse
    weighted = g * normed
    mean = (weighted * gain).mean(dim=-1, keepdim=True)
    torch.mul(g, gain, out=out).addcmul_(normed, mean, value=-1).mul_(inverse)
    return weighted


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, gain)
        y = torch.empty(x.shape, dtype=torch.result_type(x, gain))
        gain, shift = (value.to(y.dtype).expand(len(x), 1, -1) for value in (gain, shift))
        for part in _chunks(x):
            torch.addcmul(shift[part], x[part] * formulas.inverse_rms(x[part]), gain[part], out=y[part])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, gain = ctx.saved_tensors
        dx, (d_gain, d_shift) = torch.empty_like(x), g.new_empty(2, len(x), 1, g.shape[-1])
        gains = gain.to(g.dtype).expand(len(x), 1, -1)
        for part in _chunks(x):
            torch.sum(_norm_gradient(g[part], x[part], gains[part], dx[part]), 1, keepdim=True, out=d_gain[part])
            torch.sum(g[part], 1, keepdim=True, out=d_shift[part])
        return dx, d_gain.sum_to_size(gain.shape), d_shift.sum_to_size(gain.shape)


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, gain: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(qkv, gain, cos, sin)
        num, length, _, num_heads, size = qkv.shape
        outputs = tuple(qkv.new_empty(num, num_heads, length, size) for _ in range(3))
        for part in _chunks(qkv):
            q, k, v = (value[part].transpose(1, 2) for value in outputs)  # [b, N, A, K]
            normed = formulas.rms_norm(qkv[part, :, :2], gain)
            _rotate_into(normed[:, :, 0], cos, sin, out=q)
            _rotate_into(normed[:, :, 1], cos, sin, out=k)
            v.copy_(qkv[part, :, 2])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        qkv, gain, cos, sin = ctx.saved_tensors
        d_qkv, d_gain = torch.empty_like(qkv), torch.zeros_like(gain)
        for part in _chunks(qkv):
            for index in range(2):
                turned = gradients[index][part].transpose(1, 2)
                g = _rotate_into(turned, cos, -sin, out=torch.empty_like(turned, memory_format=torch.contiguous_format))
                weighted = _norm_gradient(g, qkv[part, :, index], gain[index], d_qkv[part, :, index])
                d_gain[index] += weighted.flatten(2).sum((0, 1)).view(weighted.shape[2:]).sum(0)
            d_qkv[part, :, 2] = gradients[2][part].transpose(1, 2)
        return d_qkv, d_gain, None, None


def _rotate_into(x: Tensor, cos: Tensor, sin: Tensor, *, out: Tensor) -> Tensor:
    """Write `rotate` of `x` [b, N, A, K] into `out`; -`sin` gives the inverse rotation."""
    (first, second), (to_first, to_second) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    torch.mul(first, cos, out=to_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second).addcmul_(first, sin)
    return out


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        rows = gate_up.flatten(0, -2)
        y = rows.new_empty(len(rows), rows.shape[-1] // 2)
        for part in _chunks(rows):
            gate, up = rows[part].chunk(2, dim=-1)
            torch.mul(F.silu(gate), up, out=y[part])
        return y.view(*gate_up.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        rows, g = gate_up.flatten(0, -2), g.flatten(0, -2)
        gradient = torch.empty_like(rows)
        for part in _chunks(rows):
            (gate, up), (d_gate, d_up) = rows[part].chunk(2, dim=-1), gradient[part].chunk(2, dim=-1)
            torch.ops.aten.silu_backward.grad_input(g[part] * up, gate, grad_input=d_gate)
            torch.mul(F.silu(gate), g[part], out=d_up)
        return gradient.view_as(gate_up)
