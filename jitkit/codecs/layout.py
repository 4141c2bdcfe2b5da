"""Layouts: which pixels of the image belong to each token, and whether the patches are in text order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from jitkit.errors import ManifestError
from jitkit.protocols import Codec

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


def patches_follow_text(codec: Codec, patch_size: int) -> bool:
    """Return whether the tokens of each patch follow those of the previous patch, in row-major order.

    True for every codec that fills one patch after another, with any number of tokens per patch or patches per token.
    Unowned pixels do not count. `patch_size` must divide the image size.
    """
    side = codec.image_size // patch_size
    patches = _owners(codec).view(side, patch_size, side, patch_size).transpose(1, 2).reshape(side * side, -1)
    last = patches.max(1).values.cummax(0).values  # running maximum, since a patch without tokens has none
    first = patches.where(patches >= 0, codec.capacity).min(1).values
    return bool((first[1:] >= last[:-1]).all())


def _owners(codec: Codec) -> Tensor:
    """Return the token that owns each pixel, [H, W] int64, or -1, from one pixel mask per bit of the token position."""
    tokens = torch.arange(codec.capacity)
    masks = torch.stack([tokens >> bit & 1 == 1 for bit in range(codec.capacity.bit_length())])
    bits = codec.pixel_mask(masks)[:, 0].long()
    owned = codec.pixel_mask(torch.ones(1, codec.capacity, dtype=torch.bool))[0, 0]
    return (bits << torch.arange(len(bits))[:, None, None]).sum(0).where(owned, -1)
