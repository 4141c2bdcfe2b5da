"""The arrangement of processes: replicas of the model, each split into shards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import torch

from jitkit.errors import ManifestError, counted
from jitkit.manifest.schema import Manifest
from jitkit.parallel.process_group import world_size

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

REPLICATED = 0.25  # of a device's free memory: a training state up to this size is not split


def require_mesh(manifest: Manifest) -> None:
    """Raise ManifestError if `parallel.shard` does not divide the number of processes."""
    shard, size = manifest.parallel.shard, world_size()
    if shard != "auto" and size % shard:
        expected = f"a divisor of {counted(size, 'process')}, or auto"
        raise ManifestError(problems=[manifest.source.problem(("parallel", "shard"), str(shard), expected)])


def shard_size(shard: int | Literal["auto"], *, state_bytes: int, free_bytes: int) -> int:
    """Return how many processes hold one copy of the model together; `automatic_shard` if it is "auto"."""
    if shard != "auto":
        return shard
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return automatic_shard(world_size(), local, state_bytes=state_bytes, free_bytes=free_bytes)


def automatic_shard(size: int, local: int, *, state_bytes: float, free_bytes: float) -> int:
    """Return the size of a shard for `size` processes, `local` of them on each machine.

    It is 1, unless the training state is large compared with the free memory of a device. Then it is the number of
    processes on a machine, because they are connected best, or all processes if machines have different numbers.
    """
    if state_bytes <= REPLICATED * free_bytes:
        return 1
    return size if size % local else local


def device_mesh(device: torch.device, shard: int) -> DeviceMesh:
    """Return the mesh (replicas, shards) of all processes."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device.type, (world_size() // shard, shard), mesh_dim_names=("replicas", "shards"))
