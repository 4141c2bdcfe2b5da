"""The processes that `torchrun` starts to train one model. A single process is a group of one.

Only the main process writes files and prints. If one fails, all end, and only the first one that failed prints its error.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from jitkit.errors import ResourceError, Stopped, UsageError, ran_out_of_memory, shown
from jitkit.parallel.rendezvous import is_store_of_torchrun, launched_by_torchrun, meet, part_of, rendezvous

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

VARIABLE = "JITKIT_PROCESS_TIMEOUT"  # seconds that a process waits for the others until the first step is done
TIMEOUT = 3600.0  # its default. They may prepare text, or compile; after that, see `set_timeout`
ANSWER = timedelta(seconds=5)  # how long a process that still runs needs at most to answer, or to print its error
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # numbers on the host do not wait for the device

_store: Store | None = None  # what `torchrun` keeps for all processes; survives each of them
_waits: float | None = None  # the argument of the last `set_timeout`


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of `torchrun` until the block ends. Does nothing for a single process.

    Raises ResourceError if the processes cannot reach each other, or cannot exchange data of `device`.
    """
    global _store, _waits
    if not launched_by_torchrun():
        yield
        return
    if device.type not in BACKENDS:
        raise ResourceError(f"several processes on {device}", "cpu or cuda", field="--device")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        _record_collectives()
    _store, _waits = meet(BACKENDS[device.type], _timeout()), None
    _store.set(f"process/{rank()}", f"{os.getpid()} {socket.gethostname()}")
    try:
        yield
    except Stopped:  # all processes stop together; after other errors, waiting for them could take forever
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _record_collectives() -> None:
    """Let NCCL write down what every process was doing if one does not answer: torch's flight recorder."""
    if "TORCH_NCCL_TRACE_BUFFER_SIZE" not in os.environ:  # the earlier name of the first
        os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")  # operations
    os.environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")
    if os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1") == "1":  # torchrun's default ends processes before that
        os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "3"


def set_timeout(seconds: float) -> None:
    """Set how long this process waits for the others from now on."""
    global _waits
    if world_size() == 1 or seconds == _waits:
        return
    from torch.distributed.distributed_c10d import _set_pg_timeout, _world  # there is no public way

    _waits = seconds
    for group in _world.pg_map:
        _set_pg_timeout(timedelta(seconds=seconds), group)
    if _store is not None:
        _store.set_timeout(timedelta(seconds=seconds))


def _timeout() -> timedelta:
    text = os.environ.get(VARIABLE, str(TIMEOUT))
    with suppress(ValueError, OverflowError):
        if (seconds := float(text)) > 0 and math.isfinite(seconds):
            return timedelta(seconds=seconds)
    raise UsageError(shown(text), "a number of seconds above 0", field=VARIABLE)


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the index of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main_process() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


def all_reduce_sum(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes."""
    if world_size() > 1:
        with reporting_lost_processes():
            for sent in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                sent.wait()


def all_reduce_max(number: int) -> int:
    """Return the maximum of `number` over all processes."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number)
    with reporting_lost_processes():
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


def gather_numbers(numbers: list[float]) -> list[float]:
    """Return the numbers of all processes, and zeros where a process has fewer than another."""
    if world_size() == 1:
        return numbers
    table = torch.zeros(world_size(), all_reduce_max(len(numbers)), dtype=torch.float64)
    table[rank(), : len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
    all_reduce_sum([table])
    return [float(number) for number in table.flatten()]


def dealt(items: Sequence[T]) -> Sequence[T]:
    """Return the items that this process computes: every N-th one of N processes."""
    return items[rank() :: world_size()]


def broadcast(number: float) -> float:
    """Return `number` of the main process."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number, dtype=torch.float64)
    with reporting_lost_processes():
        dist.broadcast(numbers, 0)
    return float(numbers)


def barrier() -> None:
    """Wait for all processes."""
    all_reduce_max(0)


def broadcast_bytes(data: bytes, source: int = 0) -> bytes:
    """Return `data` of the process with rank `source`."""
    if world_size() == 1:
        return data
    size = torch.tensor(len(data))
    with reporting_lost_processes():
        dist.broadcast(size, source)
        received = torch.empty(int(size), dtype=torch.uint8)
        if rank() == source and data:
            received = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(received, source)
    return received.numpy().tobytes()


def from_main_process(text: str) -> str:
    """Return `text` of the main process."""
    return broadcast_bytes(text.encode()).decode()


@contextmanager
def reporting_once(text: str, code: int) -> Iterator[bool]:
    """Yield whether this process prints its error inside the block: it is the first of the group that has one to print.

    The others, and those that have no text to print, wait for it, because `torchrun` ends all when one has ended.
    """
    store = _store or _store_of_torchrun()
    first = bool(text)
    with suppress(RuntimeError):  # the store has ended
        first = first and (store is None or store.add("reports", 1) == 1)
    yield first
    with suppress(RuntimeError):
        if store is not None and first:
            store.set("reported", f"{code} {text}")
        elif store is not None:
            store.wait(["reported"], ANSWER)


def reported() -> tuple[int, str] | None:
    """Return the exit code and the error that a process of the group has printed; None if there is none yet."""
    with suppress(RuntimeError):
        if _store is not None and _store.check(["reported"]):
            code, text = _store.get("reported").decode().split(" ", 1)
            return int(code), text
    return None


def _store_of_torchrun() -> Store | None:
    """Return the store for a process that has not joined the group; None if there is no `torchrun`."""
    if launched_by_torchrun() and is_store_of_torchrun():
        with suppress(RuntimeError, ValueError):
            return part_of(rendezvous(ANSWER)[0], f"start/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}")
    return None


@contextmanager
def reporting_lost_processes() -> Iterator[None]:
    """Raise ResourceError, in one line, if another process has ended or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if ran_out_of_memory(error) or not _is_lost_connection(error):
            raise
        lost = "a process that does not answer"
        with suppress(RuntimeError):
            lost = _lost_processes() or lost
        raise ResourceError(lost, f"all {os.environ.get('WORLD_SIZE')} to the end", field="processes") from error


def _is_lost_connection(error: RuntimeError) -> bool:
    """Return whether an error is of the process group. Those of gloo have no type of their own."""
    return isinstance(error, dist.DistError) or any(text in str(error) for text in ("gloo", "pair closure"))


def _lost_processes() -> str:
    """Return which processes have ended, or do not answer; "" if one has printed its reason.

    Those that only wait for a lost one notice it at the same time, and answer.
    """
    assert _store is not None
    _store.set(f"answer/{rank()}", "")
    others = [number for number in range(world_size()) if number != rank()]
    end, silent = time.monotonic() + ANSWER.total_seconds(), others
    while silent and time.monotonic() < end and not _store.check(["reported"]):
        if ended := [number for number in others if _has_ended(_store.get(f"process/{number}").decode())]:
            return f"{named(ended)} killed"
        silent = [number for number in others if not _store.check([f"answer/{number}"])]
        time.sleep(0.1)
    return f"no answer from {named(silent)}" if silent else ""


def host(rank: int) -> str:
    """Return the name of the machine of a rank."""
    return _store.get(f"process/{rank}").decode().partition(" ")[2] if _store is not None else socket.gethostname()


def named(ranks: list[int]) -> str:
    """Return "rank 1" or "ranks 1, 2"."""
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))


def _has_ended(process: str) -> bool:
    """Return whether a process, "PID HOST", has ended; False if it is not on this machine."""
    number, host = process.split(" ", 1)
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(int(number), 0)
        except OSError:
            return True
    return False
