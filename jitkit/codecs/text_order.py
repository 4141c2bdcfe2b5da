"""Whether the patches of an image, row by row, follow the text that its tokens are."""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.protocols import Codec


def patches_follow_text(codec: Codec, patch_size: int) -> bool:
    """Return whether each patch, counted row by row, holds tokens that come after those of the patch before it.

    True for every codec that fills patch after patch, however many tokens a patch or patches a token; pixels that nobody
    owns do not count. `patch_size` divides the image size.
    """
    side = codec.image_size // patch_size
    patches = _owners(codec).view(side, patch_size, side, patch_size).transpose(1, 2).reshape(side * side, -1)
    last = patches.max(1).values.cummax(0).values  # of all patches so far: an empty one has none of its own
    first = patches.where(patches >= 0, codec.capacity).min(1).values
    return bool((first[1:] >= last[:-1]).all())


def _owners(codec: Codec) -> Tensor:
    """Return which token owns each pixel, [H, W] int64, -1 where nobody does; read off the masks, a bit of it at a time."""
    tokens = torch.arange(codec.capacity)
    masks = torch.stack([tokens >> bit & 1 == 1 for bit in range(codec.capacity.bit_length())])
    bits = codec.pixel_mask(masks)[:, 0].long()
    owned = codec.pixel_mask(torch.ones(1, codec.capacity, dtype=torch.bool))[0, 0]
    return (bits << torch.arange(len(bits))[:, None, None]).sum(0).where(owned, -1)
