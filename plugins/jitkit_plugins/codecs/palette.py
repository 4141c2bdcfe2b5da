"""Palettes: distant colors for tokens of a few pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from jitkit.codecs.codebook import CodebookCodec
from jitkit.codecs.digits import evenly_spaced
from jitkit.errors import ManifestError


class Palette(CodebookCodec):
    """Distant colors: points of the lattice with the largest distances for this vocabulary."""

    name: ClassVar[str] = "palette"

    pixels: int = Field(1, ge=1, le=4, description="pixels per token; for larger tokens, use the codec `code`")

    def codebook(self, vocab_size: int) -> Tensor:
        """Return V points [V, 3 pixels] of the lattice with the largest minimum distance."""
        sizes = [_smallest(lattice, 3 * self.pixels, vocab_size) for lattice in LATTICES]
        best = max(range(len(LATTICES)), key=lambda i: LATTICES[i].distance(sizes[i]))
        size = sizes[best]
        points = torch.cartesian_prod(*map(torch.arange, size))
        points = points[LATTICES[best].contains(points)]
        points = points[torch.arange(vocab_size) * len(points) // vocab_size]
        return torch.stack([evenly_spaced(m)[points[:, axis]] for axis, m in enumerate(size)], 1)


Size = tuple[int, ...]
"""Number of levels on each axis, spread over the bytes 0..255."""


class Lattice(NamedTuple):
    """A lattice: how many points a box of `Size` contains, their minimum distance, and which grid points they are."""

    count: Callable[[Size], int]
    distance: Callable[[Size], float]
    contains: Callable[[Tensor], Tensor]  # grid points [N, n] int64 -> [N] bool


def _gaps(size: Size) -> list[float]:
    """Return the distance between adjacent levels of each axis, in bytes, in ascending order."""
    return sorted(255 / (m - 1) for m in size)


def _two_steps(size: Size) -> float:
    """Return the minimum length of two steps along one axis; infinite if no axis has three levels."""
    return min((2 * 255 / (m - 1) for m in size if m > 2), default=math.inf)


LATTICES = (
    Lattice(  # cubic: all points
        count=math.prod,
        distance=lambda size: _gaps(size)[0],
        contains=lambda points: torch.ones(len(points), dtype=torch.bool),
    ),
    Lattice(  # face-centered: coordinates with an even sum
        count=lambda size: (math.prod(size) + 1) // 2,
        distance=lambda size: min(math.hypot(*_gaps(size)[:2]), _two_steps(size)),
        contains=lambda points: points.sum(1) % 2 == 0,
    ),
    Lattice(  # body-centered: coordinates all even or all odd
        count=lambda size: math.prod((m + 1) // 2 for m in size) + math.prod(m // 2 for m in size),
        distance=lambda size: min(math.hypot(*_gaps(size)), _two_steps(size)),
        contains=lambda points: (points % 2 == points[:, :1] % 2).all(1),
    ),
)


def _smallest(lattice: Lattice, num_axes: int, num_points: int) -> Size:
    """Return the smallest box, with axes that differ by at most one level, that contains `num_points` lattice points."""
    for total in range(2 * num_axes, 256 * num_axes + 1):
        size = tuple((total + axis) // num_axes for axis in range(num_axes))
        if lattice.count(size) >= num_points:
            return size
    raise ManifestError(f"a vocabulary of {num_points}", f"at most {lattice.count((256,) * num_axes)}", field="pixels")
