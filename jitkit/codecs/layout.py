"""Layouts: which pixels of the image each token owns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from jitkit.errors import ManifestError

Layout = Literal["raster", "patch-major"]


def pixel_table(layout: Layout, pixels_per_token: int, image_size: int, patch_size: int) -> Tensor:
    """Return which pixels token i owns: [L, k] int64, each an index into the image flattened row by row.

    ``raster``: token i owns the pixels i k .. i k + k - 1, counted row by row. ``patch-major``: the same within a patch,
    and the patches row by row, so that a patch holds consecutive tokens and no token lies in two patches where it fits
    into one: ``floor(p p / k)`` tokens a patch. A token of more than p p pixels starts a patch of its own and owns the
    first k pixels of ``ceil(k / (p p))`` whole patches. Pixels that are left over belong to nobody.

    Raises ManifestError when no token fits, or when the patches do not fill the image.
    """
    k = pixels_per_token
    table = _raster(k, image_size) if layout == "raster" else _patch_major(k, image_size, patch_size)
    if not len(table):
        raise ManifestError(
            f"tokens of {k} pixels in an image of {image_size}x{image_size}",
            "room for at least one token",
            hint="Choose a larger image_size, or fewer numbers a token.",
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
    pixels = pixels.transpose(1, 2).reshape(-1, area)  # [patches, pixels of one patch]
    if k <= area:
        return pixels[:, : area // k * k].reshape(-1, k)
    span = -(-k // area)
    num_tokens = len(pixels) // span
    return pixels[: num_tokens * span].reshape(num_tokens, span * area)[:, :k]
