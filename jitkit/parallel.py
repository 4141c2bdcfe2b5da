"""The processes that `torchrun` starts to train one model. A single process is a group of one.

Each process computes some parts of every batch (`train.accumulate`), gradients are summed, and all take the same step. So the
result depends on their number only through the order of sums. Only the main process writes files and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from jitkit.errors import ResourceError, Stopped, ran_out_of_memory

TIMEOUT = timedelta(hours=1)  # how long the others wait while the main process validates, writes the report, or saves
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # numbers on the host do not wait for the device


def launched_by_torchrun() -> bool:
    """Return whether `torchrun` has started this process as one of several."""
    return "MASTER_ADDR" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int | None:
    """Return the rank of this process on its machine; None if `torchrun` has not started it."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of `torchrun` until the block ends. Does nothing for a single process.

    Raises ResourceError if the processes cannot reach each other, or cannot exchange data of `device`.
    """
    if not launched_by_torchrun():
        yield
        return
    if device.type not in BACKENDS:
        raise ResourceError(f"several processes on {device}", "cpu or cuda", field="--device")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _reporting_lost_processes():
        dist.init_process_group(BACKENDS[device.type], timeout=TIMEOUT)
    try:
        yield
    except Stopped:  # all processes stop together; after other errors, waiting for them could take forever
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the index of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main_process() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


def owns_microbatch(part: int) -> bool:
    """Return whether this process computes part number `part` of a batch."""
    return part % world_size() == rank()


def all_reduce_sum(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes."""
    if world_size() > 1:
        with _reporting_lost_processes():
            for sent in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                sent.wait()


def all_reduce_gradients(network: nn.Module) -> None:
    """Replace each gradient by its sum over all processes. A missing gradient counts as zero."""
    if world_size() > 1:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        all_reduce_sum(parameter.grad for parameter in parameters if parameter.grad is not None)


def all_reduce_max(number: int) -> int:
    """Return the maximum of `number` over all processes."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number)
    with _reporting_lost_processes():
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


def broadcast(number: float) -> float:
    """Return `number` of the main process."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number, dtype=torch.float64)
    with _reporting_lost_processes():
        dist.broadcast(numbers, 0)
    return float(numbers)


def barrier() -> None:
    """Wait for all processes."""
    all_reduce_max(0)


@contextmanager
def _reporting_lost_processes() -> Iterator[None]:
    """Raise ResourceError, in one line, if another process has ended. Its own message has the reason."""
    try:
        yield
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise
        expected = f"all {os.environ.get('WORLD_SIZE')} to the end"
        raise ResourceError("a process of the group that does not answer", expected) from error
