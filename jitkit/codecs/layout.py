"""Layouts: which pixels of the image belong to each token."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from jitkit.errors import ManifestError

Layout = Literal["raster", "patch-major"]


def pixel_table(layout: Layout, pixels_per_token: int, image_size: int, patch_size: int) -> Tensor:
    """Return the pixels of each token, [L, k] int64, as indices into the row-major image.

    ``raster``: token i owns pixels i k .. i k + k - 1 in row-major order. ``patch-major``: the same within each p x p
    patch, and patches in row-major order. A patch holds ``floor(p p / k)`` consecutive whole tokens. A token of more than
    p p pixels owns the first k pixels of ``ceil(k / (p p))`` patches. Leftover pixels belong to no token.

    Raises ManifestError if no token fits, or if patches do not fill the image.
    """
    k = pixels_per_token
    table = _raster(k, image_size) if layout == "raster" else _patch_major(k, image_size, patch_size)
    if not len(table):
        raise ManifestError(
            f"tokens of {k} pixels in an image of {image_size}x{image_size}",
            "room for at least one token",
            hint="Increase image_size, or use fewer values per token.",
        )
    return table


def _raster(k: int, image_size: int) -> Tensor:
    num_tokens = image_size * image_size // k
    return torch.arange(num_tokens * k).reshape(num_tokens, k)


def _patch_major(k: int, image_size: int, patch_size: int) -> Tensor:
    if patch_size < 1 or image_size % patch_size:
        raise ManifestError(f"patch_size {patch_size}", f"a divisor of image_size {image_size}")
    patches, area = image_size // patch_size, patch_size * patch_size
    pixels = torch.arange(image_size * image_size).reshape(patches, patch_size, patches, patch_size)
    pixels = pixels.transpose(1, 2).reshape(-1, area)  # [patches, pixels per patch]
    if k <= area:
        return pixels[:, : area // k * k].reshape(-1, k)
    span = -(-k // area)
    num_tokens = len(pixels) // span
    return pixels[: num_tokens * span].reshape(num_tokens, span * area)[:, :k]
