"""Randomness that belongs to a window of text, whatever batch it is in and whichever windows stand beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def window_generator(seed: int, tokens: Tensor, purpose: str) -> torch.Generator:
    """Return a CPU generator that follows from the seed, the tokens [L] int64 of one window, and what it is for.

    Seeding by content makes every figure independent of the order of windows and of the batch size.
    """
    digest = hashlib.blake2b(f"{seed}:{purpose}:".encode(), digest_size=8)
    digest.update(tokens.contiguous().numpy().astype("<i8").tobytes())
    return torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)


def window_generators(seed: int, tokens: Tensor, purpose: str) -> list[torch.Generator]:
    """Return one `window_generator` for each row of `tokens` [B, L]."""
    return [window_generator(seed, row, purpose) for row in tokens]


def draw_noise(generators: Sequence[torch.Generator], image_size: int, noise_scale: float) -> Tensor:
    """Return noise [B, 3, H, W] float32 on the CPU of standard deviation `noise_scale`, one image a generator."""
    shape = (3, image_size, image_size)
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators]) * noise_scale
