"""The processes that train one model together, as `torchrun` starts them. A process alone is a group of one.

Each computes some of the parts of every batch (`train.accumulate`), all gradients are added up, and all take the same step.
So what comes out does not depend on how many there are, but for the order of sums. One leads: it alone writes and speaks.
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

TIMEOUT = timedelta(hours=1)  # how long the others wait while the leader measures, draws the run's page, saves
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # what is counted on the host does not wait for the device


def launched_by_torchrun() -> bool:
    """Tell whether `torchrun` has started other processes beside this one."""
    return "MASTER_ADDR" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int | None:
    """Return which of the processes on this machine `torchrun` has made of this one; None where it has not started it."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` has started beside this one, until the block ends; alone, do nothing.

    Raises ResourceError where they cannot find each other, or cannot talk about what is on `device`.
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
    except Stopped:  # together, as at the end; after any other error a process may be waited for in vain
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def world_size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if _is_initialized() else 1


def rank() -> int:
    """Return which of them this is, from 0."""
    return dist.get_rank() if _is_initialized() else 0


def is_main_process() -> bool:
    """Tell whether this is the one that writes and speaks."""
    return rank() == 0


def owns_microbatch(part: int) -> bool:
    """Tell whether part number `part` of a batch is computed here."""
    return part % world_size() == rank()


def all_reduce_sum(tensors: Iterable[Tensor]) -> None:
    """Put the sum over all processes in the place of each tensor."""
    if world_size() > 1:
        with _reporting_lost_processes():
            for sent in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                sent.wait()


def all_reduce_gradients(network: nn.Module) -> None:
    """Put the sum over all processes in the place of each gradient; where there is none, it was zero."""
    if world_size() > 1:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        all_reduce_sum(parameter.grad for parameter in parameters if parameter.grad is not None)


def all_reduce_max(number: int) -> int:
    """Return the largest of the numbers that the processes have."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number)
    with _reporting_lost_processes():
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


def broadcast(number: float) -> float:
    """Return the leader's number."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number, dtype=torch.float64)
    with _reporting_lost_processes():
        dist.broadcast(numbers, 0)
    return float(numbers)


def barrier() -> None:
    """Wait until all processes are here."""
    all_reduce_max(0)


def _is_initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def _reporting_lost_processes() -> Iterator[None]:
    """Say in one line that another process does not answer: it has ended, and says itself why."""
    try:
        yield
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise
        raise ResourceError(
            "a process of the group that does not answer", f"all {os.environ.get('WORLD_SIZE')} to the end"
        ) from error
