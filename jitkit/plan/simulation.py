"""A training step of one process of many, simulated on tensors without memory and a process group without processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.utils._python_dispatch import TorchDispatchMode

from jitkit.assembly import Components
from jitkit.diffusion.denoiser import Denoiser
from jitkit.execution.config import ExecutionConfig
from jitkit.parallel.mesh import device_mesh
from jitkit.parallel.sharding import local, shard_network, sum_gradients
from jitkit.plan.traffic import Traffic
from jitkit.protocols import Noised
from jitkit.training.cost_estimate import image_flops, simulated, simulated_batch, with_loss
from jitkit.training.peak_memory import PeakMemoryMode


@dataclass(frozen=True)
class SimulatedStep:
    """What the engine does in a step of one process."""

    shard: int  # processes that hold one copy of the model
    num_parameters: int
    state_bytes: int  # the process's part of the weights
    peak_bytes: int  # gradients, gathered weights, activations, and temporary tensors
    created_bytes: int  # of all tensors, whatever has been freed
    forward_flops: int  # per image
    traffic: Traffic


def simulate_step(
    components: Components,
    denoiser: Denoiser,
    execution: ExecutionConfig,
    *,
    world: int,
    shard: int,
    images: int,
    passes: int,
) -> SimulatedStep:
    """Return what a step takes in one of `world` processes: `passes` passes of `images` images.

    A single process runs without the engine, so it has no traffic.
    """
    with (
        fake_mesh(world, shard) as mesh,
        simulated(
            components,
            denoiser,
            execution,
            prepare=lambda network: None if mesh is None else shard_network(network, mesh),
        ) as denoiser,
    ):
        parts = [local(parameter) for parameter in denoiser.network.parameters()]
        traffic, memory = with_loss(denoiser, lambda loss: _run(denoiser, loss, images, passes))
        return SimulatedStep(
            shard=shard,
            num_parameters=sum(parameter.numel() for parameter in denoiser.network.parameters()),
            state_bytes=sum(part.nbytes for part in parts),
            peak_bytes=memory.peak,
            created_bytes=memory.created,
            forward_flops=image_flops(denoiser),
            traffic=traffic,
        )


def _run(
    denoiser: Denoiser, loss: Callable[[Noised], Tensor], images: int, passes: int
) -> tuple[Traffic, PeakMemoryMode]:
    """Return the traffic and memory of a step. All passes but the last are alike, so one of them is enough."""
    traffic = Traffic()
    with PeakMemoryMode() as memory:
        batch = simulated_batch(denoiser, images)
        for left in range(min(2, passes))[::-1]:
            sum_gradients(denoiser.network, now=not left)
            before, alike = memory.created, passes - 1 if left else 1
            with CollectivesMode() as collectives:
                _first_pass(denoiser, batch)
                loss(batch).backward()  # type: ignore[no-untyped-call]
            traffic += collectives.traffic * alike
            memory.created += (memory.created - before) * (alike - 1)
    return traffic, memory


@torch.no_grad()
def _first_pass(denoiser: Denoiser, images: Noised) -> None:
    """Make the extra pass of self-conditioning, which gathers the weights once more."""
    if denoiser.objective.self_conditioning:
        denoiser.network_output(images.z, images.t, x_prev=None, known=images.known, scale=None)


class CollectivesMode(TorchDispatchMode):
    """Records the bytes of gathered weights and reduced gradients inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic = Traffic()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.c10d._allgather_base_.default:
            self.traffic += Traffic(gathers=(args[0].nbytes,))
        elif func is torch.ops.c10d._reduce_scatter_base_.default:
            self.traffic += Traffic(reduces=(args[1].nbytes,))
        return func(*args, **(kwargs or {}))


@contextmanager
def fake_mesh(world: int, shard: int) -> Iterator[DeviceMesh | None]:
    """Yield a mesh in which this process is the first of `world` processes that exchange nothing; None for one process."""
    if world == 1:
        yield None
        return
    dist.init_process_group("fake", rank=0, world_size=world)
    try:
        with warnings.catch_warnings(action="ignore"):  # FSDP warns of outputs that are views
            yield device_mesh(torch.device("cpu"), shard)
    finally:
        dist.destroy_process_group()
