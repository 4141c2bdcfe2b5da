"""Check whether the patches of an image are in text order."""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.protocols import Codec


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
