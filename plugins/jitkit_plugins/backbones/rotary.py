"""Rotary position embedding: q and k are rotated by angles proportional to position (Su et al. 2021).

Products of q and k then depend only on the distance of their positions. Angles are computed in each forward pass, which
takes microseconds, so there is no buffer to keep through `meta`, casts or moves between devices.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Order = Literal["grid", "text"]

# The slowest pair rotates by about one radian over the longest distance: 16 patches per side, or thousands of tokens.
BASE = {"grid": 100.0, "text": 10_000.0}
AXES = {"grid": 2, "text": 1}


class Rotation(NamedTuple):
    """Cosines and sines of the angles of each position, float32 [N, 1, K / 2]; the 1 stands for the heads."""

    cos: Tensor
    sin: Tensor


def rotation(order: Order, patches_per_side: int, head_dim: int, device: torch.device) -> Rotation:
    """Return the angles of all patches in raster order.

    `grid` uses half of the pairs for the row and half for the column of a patch, `text` all pairs for its index.
    `head_dim` is a multiple of 2 (text) or 4 (grid).
    """
    tables = _opaque_tables if torch.compiler.is_compiling() else _tables
    return Rotation(*tables(order, patches_per_side, head_dim, device))


def _tables(order: str, patches_per_side: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    side = torch.arange(patches_per_side, device=device)
    index = torch.arange(patches_per_side**2, device=device)
    positions = torch.cartesian_prod(side, side) if order == "grid" else index[:, None]  # [N, axes]
    num_pairs = head_dim // (2 * AXES[order])
    frequencies = BASE[order] ** (-torch.arange(num_pairs, device=device) / num_pairs)
    angles = (positions[:, :, None] * frequencies).flatten(1)[:, None]
    return angles.cos(), angles.sin()


# Opaque to the compiler, which would otherwise recompute every cosine for each image, head and block.
_opaque_tables = torch.library.custom_op("jitkit::rotation", _tables, mutates_args=())


@_opaque_tables.register_fake
def _(order: str, patches_per_side: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    cos, sin = (torch.empty(patches_per_side**2, 1, head_dim // 2, device=device) for _ in range(2))
    return cos, sin


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the pairs (x_i, x_{i + K/2}) of `x` [B, N, 2, A, K] by the angle of their position, in the dtype of `x`."""
    cos, sin = (table[:, None].to(x.dtype) for table in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
