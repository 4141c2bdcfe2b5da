"""A straightforward JiT in eager PyTorch, in the style of the public implementation, without optimizations.

The same network as jitkit's `jit`, with the same weight names, so one can be loaded into the other. Letters in shapes:
B images, N patches, D width, A heads, K head width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit.protocols import NetworkInputs


class Attention(nn.Module):
    """Multi-head attention with qk-norm and rotary positions."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.qk_norm = nn.Parameter(torch.ones(2, 1, width // num_heads))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        images, patches, width = x.shape
        qkv = self.qkv(x).reshape(images, patches, 3, self.num_heads, width // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, A, N, K]
        q, k = (rms_norm(value) * weight for value, weight in zip((q, k), self.qk_norm, strict=True))
        q, k = (value * cos + rotate_half(value) * sin for value in (q, k))
        heads = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        mapped: Tensor = self.out(heads.transpose(1, 2).reshape(images, patches, width))
        return mapped


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D]."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        mapped: Tensor = self.out(F.silu(gate) * up)
        return mapped


class Constants(nn.Module):
    """Learned constants that replace AdaLN's linear layer if the blocks have no time input."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, condition: Tensor | None) -> Tensor:
        """Return the constants as [1, size]."""
        return self.bias[None]


class Block(nn.Module):
    """A transformer block with AdaLN-Zero."""

    def __init__(self, width: int, num_heads: int, hidden: int, time: str) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads)
        self.feed_forward = FeedForward(width, hidden)
        self.modulation = nn.Linear(width, 6 * width) if time == "adaln" else Constants(6 * width)

    def forward(self, x: Tensor, condition: Tensor | None, cos: Tensor, sin: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N, D], given [B, D]."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate_1 * self.attention(rms_norm(x) * (1 + scale_1) + shift_1, cos, sin)
        mapped: Tensor = x + gate_2 * self.feed_forward(rms_norm(x) * (1 + scale_2) + shift_2)
        return mapped


class PlainJit(nn.Module):
    """The network described by the settings of a `jit`, with the same optional inputs."""

    def __init__(self, settings: Any, inputs: NetworkInputs, channels: int = 3) -> None:
        super().__init__()
        self.settings, self.inputs, self.channels = settings, inputs, channels
        width, patch = settings.embed_dim, settings.patch_size
        self.side = settings.image_size // patch
        in_channels = 3 + 3 * inputs.x_prev + inputs.known + 3 * inputs.token_posterior
        in_dim, bottleneck = in_channels * patch**2, settings.bottleneck_dim
        self.patch_embedding: nn.Module = (
            nn.Linear(in_dim, width)
            if bottleneck is None
            else nn.Sequential(nn.Linear(in_dim, bottleneck, bias=False), nn.Linear(bottleneck, width))
        )
        self.position_embedding = nn.Parameter(torch.zeros(self.side**2, width))
        self.time_mlp = None
        if num_times := (settings.time != "none") + inputs.scale:
            layers = [nn.Linear(256 * num_times, width), nn.SiLU(), nn.Linear(width, width)]
            self.time_mlp = nn.Sequential(*layers, *([nn.SiLU()] if settings.time == "adaln" else []))
        self.blocks = nn.ModuleList(
            Block(width, settings.num_heads, settings.feed_forward_dim, settings.time) for _ in range(settings.depth)
        )
        self.modulation = nn.Linear(width, 2 * width) if settings.time == "adaln" else Constants(2 * width)
        self.pixel_head = nn.Linear(width, channels * patch**2)

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        *,
        x_prev: Tensor | None = None,
        known: Tensor | None = None,
        token_posterior: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Return the output of a backbone; see `jitkit.protocols.Backbone`."""
        extra = [torch.zeros_like(z) if x_prev is None else x_prev] if self.inputs.x_prev else []
        if self.inputs.known:
            extra.append(torch.zeros_like(z[:, :1]) if known is None else known)
        if self.inputs.token_posterior:
            extra.append(torch.zeros_like(z) if token_posterior is None else token_posterior)
        patches = F.pixel_unshuffle(torch.cat((z, *extra), dim=1), self.settings.patch_size).flatten(2).transpose(1, 2)
        x = self.patch_embedding(patches) + self.position_embedding
        times = [] if self.settings.time == "none" else [t]
        if self.inputs.scale:
            times.append(torch.zeros_like(t) if scale is None else scale / (1 + scale))
        condition = None
        if self.time_mlp is not None:
            condition = self.time_mlp(torch.cat([features(time) for time in times], dim=-1))
            if self.settings.time != "adaln":
                x = x + condition[:, None]
        cos, sin = self.tables()
        for block in self.blocks:
            x = block(x, condition, cos, sin)
        shift, scaling = self.modulation(condition)[:, None].chunk(2, dim=-1)
        x = rms_norm(x) * (1 + scaling) + shift
        if self.channels == 3:  # an image, in float32 also under autocast
            with torch.autocast(x.device.type, enabled=False):
                pixels = self.pixel_head(x.float())
        else:
            pixels = self.pixel_head(x)
        patch = self.settings.patch_size
        pixels = pixels.reshape(len(pixels), self.side, self.side, patch, patch, -1)
        return torch.einsum("bhwpqc->bchpwq", pixels).reshape(len(pixels), -1, self.side * patch, self.side * patch)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [N, K] of the rotary angles of all patches."""
        index = torch.arange(self.side**2, device=self.pixel_head.weight.device)
        head_dim = self.settings.embed_dim // self.settings.num_heads
        grid = self.settings.rope == "grid"
        positions = [index // self.side, index % self.side] if grid else [index]
        num = head_dim // 2 // len(positions)
        frequencies = (100.0 if grid else 10_000.0) ** (-torch.arange(num, device=index.device) / num)
        half = torch.cat([position[:, None] * frequencies for position in positions], dim=-1)
        angles = torch.cat((half, half), dim=-1)
        return angles.cos(), angles.sin()


def rms_norm(x: Tensor) -> Tensor:
    """Scale each vector to root mean square 1."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def rotate_half(x: Tensor) -> Tensor:
    """Return (-second, first), the rotated halves of each vector."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def features(t: Tensor) -> Tensor:
    """Return the time features [B, 256] of `t` [B]."""
    angles = t.float()[:, None] * torch.exp(torch.arange(128, device=t.device) * (math.log(1000) / 127))
    return torch.cat((angles.cos(), angles.sin()), dim=-1)
