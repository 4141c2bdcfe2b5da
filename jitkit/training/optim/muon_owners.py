"""Muon on sharded matrices: each matrix has an owner among the processes that hold its rows.

Rows of the update directions go to the owner by one exchange for all matrices of a shape. The owner computes on whole
matrices, and rows of the result come back by a second exchange.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from jitkit.parallel import reporting_lost_processes

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

ALIGNMENT = 64  # bytes; on a CPU, the last bits of a product depend on where in such a unit its matrices start


@dataclass(frozen=True)
class Owners:
    """How the processes of a group share matrices [m, n] of one shape."""

    group: ProcessGroup
    rank: int
    rows: list[int]  # of each matrix, by rank; the last processes may have none
    bounds: list[int]  # rank r owns the matrices from number bounds[r] to bounds[r + 1]

    @property
    def counts(self) -> list[int]:
        """How many matrices each process owns."""
        return [end - start for start, end in pairwise(self.bounds)]


def owners_of(matrix: Tensor, count: int, earlier: int) -> Owners | None:
    """Return the owners of `count` matrices like this one, or None if each process holds them whole.

    `earlier` is the number of matrices of other shapes that are already dealt out: the deal goes on where that one ended,
    so that no process always owns one more than the others.
    """
    if not hasattr(matrix, "device_mesh"):
        return None
    dtensor: Any = matrix
    group = dtensor.device_mesh.get_group(dtensor.device_mesh.ndim - 1)  # the mesh is (replicas, shards)
    size = dist.get_world_size(group)
    if size == 1:
        return None
    height = -(-matrix.shape[0] // size)
    rows = [max(0, min(height, matrix.shape[0] - rank * height)) for rank in range(size)]
    bounds = [(rank * count + earlier % size) // size for rank in range(size + 1)]
    return Owners(group, dist.get_rank(group), rows, bounds)


def compute_by_owners(function: Callable[[Tensor], Tensor], parts: Tensor, owners: Owners) -> Tensor:
    """Return this process's rows [B, r, n] of ``function(matrices)``, where `parts` are its rows of the `matrices` [B, m, n].

    The function computes each matrix of a stack by itself.
    """
    count, height, width = parts.shape
    own = owners.counts[owners.rank]
    sent = [owned * height * width for owned in owners.counts]
    received = [own * rows * width for rows in owners.rows]
    pieces = torch.split(_exchange(parts, sent, received, owners.group), received)
    shaped = [piece.view(own, rows, width) for piece, rows in zip(pieces, owners.rows, strict=True)]
    whole = torch.cat(shaped, dim=1)
    if own:
        whole = _compute_as_in_one_stack(function, whole, owners.bounds[owners.rank])
    back = torch.cat([rows.flatten() for rows in torch.split(whole, owners.rows, dim=1)])
    return _exchange(back, received, sent, owners.group).view(count, height, width)


def _compute_as_in_one_stack(function: Callable[[Tensor], Tensor], matrices: Tensor, first: int) -> Tensor:
    """Return ``function(matrices)`` with the bits of a stack in which `first` other matrices come before them.

    That takes the same alignment of each matrix, and of the squares that are computed from it. Both repeat after a number
    of matrices, which is 1 if sides are multiples of 8. Others are preceded by zeros.
    """
    _, m, n = matrices.shape
    unit = math.gcd(ALIGNMENT, *(size * matrices.element_size() for size in (m * n, m * m, n * n)))
    num_zeros = first % (ALIGNMENT // unit)
    return function(torch.cat([matrices.new_zeros(num_zeros, m, n), matrices]))[num_zeros:]


def _exchange(values: Tensor, sent: list[int], received: list[int], group: ProcessGroup) -> Tensor:
    """Send `sent[r]` of the values, in order, to each rank r; return those from all ranks, `received[r]` each."""
    result = values.new_empty(sum(received))
    with reporting_lost_processes():
        dist.all_to_all_single(result, values.flatten(), received, sent, group)
    return result
