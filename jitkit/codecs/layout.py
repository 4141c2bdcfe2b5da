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

    ``patch-major``: patches of p x p pixels in row-major order, and tokens in row-major order within each. A patch holds
    ``floor(p p / k)`` consecutive whole tokens. A token of more than p p pixels owns the first k pixels of
    ``ceil(k / (p p))`` patches. Leftover pixels belong to no token. ``raster``: the same with the whole image as one patch.
    Raises ManifestError if no token fits, or if patches do not fill the image.
    """
    k = pixels_per_token
    side = image_size if layout == "raster" else patch_size
    if side < 1 or image_size % side:
        raise ManifestError(f"patch_size {patch_size}", f"a divisor of image_size {image_size}")
    patches, area = image_size // side, side * side
    pixels = torch.arange(image_size * image_size).view(patches, side, patches, side).transpose(1, 2).reshape(-1, area)
    if k <= area:
        table = pixels[:, : area // k * k].reshape(-1, k)
    else:
        span = -(-k // area)
        num_tokens = len(pixels) // span
        table = pixels[: num_tokens * span].reshape(num_tokens, span * area)[:, :k]
    if not len(table):
        hint = "Increase image_size, or use fewer values per token."
        found = f"tokens of {k} pixels in an image of {image_size}x{image_size}"
        raise ManifestError(found, "room for at least one token", hint=hint)
    return table


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
