"""Conversion between 8-bit pictures and float images: ``x = byte / 127.5 - 1``."""

from __future__ import annotations

import torch
from torch import Tensor

GRAY = 128  # byte of unused pixels and values: the integer nearest to x = 0


def to_image(pictures: Tensor) -> Tensor:
    """Return pictures [B, H, W, 3] uint8 as images [B, 3, H, W] float32 in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_pictures(images: Tensor) -> Tensor:
    """Return images [B, 3, H, W] as pictures [B, H, W, 3] uint8, rounded and clamped."""
    values = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
