"""Which part of each tensor this process writes to a checkpoint folder: its shard, unless another replica writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from jitkit import parallel
from jitkit.checkpoints.shards import Part

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def own_parts(tensors: Iterable[tuple[str, Tensor | None]]) -> dict[str, Part]:
    """Return copies, on the CPU, of the parts that this process writes, by the name of their tensor.

    The main process writes ordinary tensors, which are the same in all processes.
    """
    found = ((name, _own_part(tensor)) for name, tensor in tensors if tensor is not None)
    return {name: (part[0], part[1].detach().to("cpu", copy=True)) for name, part in found if part is not None}


def _own_part(tensor: Any) -> Part | None:
    """Return the first row of this process and its rows; None if another process writes them, or there are none."""
    if hasattr(tensor, "to_local"):
        return _own_shard(tensor)
    return (0, tensor) if parallel.is_main_process() else None


def _own_shard(tensor: DTensor) -> Part | None:
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    mesh, placements = tensor.device_mesh, tensor.placements
    assert all(type(placement) is Replicate or placement == Shard(0) for placement in placements), placements
    places = zip(mesh.get_coordinate() or (), placements, strict=True)
    if any(index and placement.is_replicate() for index, placement in places):  # not the first replica
        return None
    _, offsets = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    rows = tensor.to_local()
    return (offsets[0] if offsets else 0, rows) if rows.numel() else None
