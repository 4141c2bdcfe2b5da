"""Rotary position embedding: q and k are turned by angles that grow with position (Su et al. 2021).

The product of a turned q and a turned k depends only on the distance of their positions. The angles are computed in each
forward pass, a few microseconds' work, so that no buffer has to survive `meta`, casts or moves between devices.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Order = Literal["grid", "text"]

# The slowest pair turns about one radian over the longest distance: 16 patches of a side, or some thousands of tokens.
BASE = {"grid": 100.0, "text": 10_000.0}
AXES = {"grid": 2, "text": 1}


class Rotation(NamedTuple):
    """Cosines and sines of the angles of each position, float32 [N, 1, K / 2]; the 1 stands for the heads."""

    cos: Tensor
    sin: Tensor


def rotation(order: Order, patches_per_side: int, head_dim: int, device: torch.device) -> Rotation:
    """Return the angles of all patches in raster order.

    `grid` spends one half of the pairs on the row and one on the column of a patch, `text` all pairs on its index: a
    distance of 1 is one patch of text, however many tokens it holds. `head_dim` is a multiple of 2 (text) or 4 (grid).
    """
    tables = _tables_of_their_own if torch.compiler.is_compiling() else _tables
    return Rotation(*tables(order, patches_per_side, head_dim, device))


def _tables(order: str, patches_per_side: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    side = torch.arange(patches_per_side, device=device)
    index = torch.arange(patches_per_side**2, device=device)
    positions = torch.cartesian_prod(side, side) if order == "grid" else index[:, None]  # [N, axes]
    num_pairs = head_dim // (2 * AXES[order])
    frequencies = BASE[order] ** (-torch.arange(num_pairs, device=device) / num_pairs)
    angles = (positions[:, :, None] * frequencies).flatten(1)[:, None]
    return angles.cos(), angles.sin()


# A compiler that sees how they come about computes every cosine anew for each image and head, in each block.
_tables_of_their_own = torch.library.custom_op("jitkit::rotation", _tables, mutates_args=())


@_tables_of_their_own.register_fake
def _(order: str, patches_per_side: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    cos, sin = (torch.empty(patches_per_side**2, 1, head_dim // 2, device=device) for _ in range(2))
    return cos, sin


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the pairs (x_i, x_{i + K/2}) of `x` [B, N, 2, A, K] by the angle of their position, in the dtype of `x`."""
    cos, sin = (table[:, None].to(x.dtype) for table in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
