"""Randomness that depends on the content of a window only, not on its batch or its order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def window_generator(seed: int, tokens: Tensor, purpose: str) -> torch.Generator:
    """Return a CPU generator seeded by the seed, the tokens [L] int64 of one window, and the purpose."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:".encode(), digest_size=8)
    digest.update(tokens.contiguous().numpy().astype("<i8").tobytes())
    return torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)


def window_generators(seed: int, tokens: Tensor, purpose: str) -> list[torch.Generator]:
    """Return one `window_generator` for each row of `tokens` [B, L]."""
    return [window_generator(seed, row, purpose) for row in tokens]


def draw_noise(generators: Sequence[torch.Generator], image_size: int, noise_scale: float) -> Tensor:
    """Return noise [B, 3, H, W] float32 on the CPU with standard deviation `noise_scale`, one image per generator."""
    shape = (3, image_size, image_size)
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators]) * noise_scale
