"""A network whose weights, gradients, averages and optimizer state are split among processes, by torch's FSDP2.

Its parameters are `DTensor`s. Updates work on `local` parts, and files hold whole tensors. An ordinary tensor is
its own part, so code for one process and for several is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from jitkit.parallel.process_group import is_main_process, reporting_lost_processes, world_size

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def shard_network(network: nn.Module, mesh: DeviceMesh) -> None:
    """Split the parameters of `network` on each of the mesh's replicas, and let backward passes sum gradients over all.

    Blocks of a stack (`nn.ModuleList`) are gathered one after the other, the rest at once.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    for block in blocks_of(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for module in network.modules():
        if isinstance(
            module, FSDPModule
        ):  # losses are divided by the whole batch, so gradients are summed, not averaged
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks in the network's stacks (`nn.ModuleList`)."""
    return [block for stack in network.modules() if isinstance(stack, nn.ModuleList) for block in stack]


def is_sharded(network: nn.Module) -> bool:
    """Return whether `shard_network` has been called."""
    return any(_is_dtensor(parameter) for parameter in network.parameters())


def sum_gradients(network: nn.Module, *, now: bool) -> None:
    """Decide whether the next backward pass sums gradients over processes: only the last one of a step has to."""
    if world_size() > 1:
        root: Any = next(module for module in network.modules() if hasattr(module, "set_requires_gradient_sync"))
        root.set_requires_gradient_sync(now)


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds. It shares memory."""
    part: Tensor = getattr(tensor, "to_local", lambda: tensor)()
    return part


def full(tensor: Tensor) -> Tensor:
    """Return the whole tensor. All processes have to call this, unless they have it already."""
    if _is_whole(tensor):
        return local(tensor)
    with reporting_lost_processes():
        whole: Tensor = getattr(tensor, "full_tensor", lambda: tensor)()
        return whole


def gather(tensor: Tensor) -> Tensor:
    """Return the whole tensor, on the CPU if it was sharded, in the main process, and an empty one in the others."""
    if _is_whole(tensor):
        return local(tensor)
    whole = full(tensor)
    return whole.cpu() if is_main_process() else whole.new_empty(0)


def sharded_like(whole: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor on the device of `like`, and sharded if that is; each process takes its part."""
    if not _is_dtensor(like):
        return whole.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    dtensor: Any = like
    return distribute_tensor(whole.to(like.device), dtensor.device_mesh, dtensor.placements, src_data_rank=None)


def holds_whole(network: nn.Module) -> bool:
    """Return whether this process has all parameters, because the network is not split."""
    return all(_is_whole(parameter) for parameter in network.parameters())


def _is_whole(tensor: Tensor) -> bool:
    """Return whether each process has the whole tensor. The shapes of parts would not tell: some parts are empty."""
    if not _is_dtensor(tensor):
        return True
    dtensor: Any = tensor
    sizes = zip(dtensor.placements, dtensor.device_mesh.shape, strict=True)
    return all(placement.is_replicate() or size == 1 for placement, size in sizes)


def _is_dtensor(tensor: Tensor) -> Any:
    return hasattr(tensor, "to_local")  # `isinstance` would import torch.distributed.tensor, for nothing in one process
