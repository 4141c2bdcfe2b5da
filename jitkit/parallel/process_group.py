"""The processes that `torchrun` starts to train one model. A single process is a group of one.

Only the main process writes files and prints. If one fails, all end, and only the first one that failed prints its error.
"""

from __future__ import annotations

import math
import os
import secrets
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

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

VARIABLE = "JITKIT_PROCESS_TIMEOUT"  # seconds that a process waits for the others
TIMEOUT = 1800.0  # its default. The others wait while the main process validates, writes the report, or saves
ANSWER = timedelta(seconds=5)  # how long a process that still runs needs at most to answer, or to print its error
CONNECT = timedelta(seconds=60)  # how long a process tries to reach the store of torchrun, which is there before it
SHARED_STORE = (  # torchrun 2.13 gives the others its address again
    "If a machine with the store of torchrun was lost, set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun."
)
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # numbers on the host do not wait for the device

_store: Store | None = None  # what `torchrun` keeps for all processes; survives each of them


def launched_by_torchrun() -> bool:
    """Return whether `torchrun` has started this process as one of several."""
    return "MASTER_ADDR" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch() -> str | None:
    """Return the run ID of `torchrun`, which stays the same when it restarts processes; None without it."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return name if name != "none" else f"{socket.gethostname()}-{os.getppid()}"  # the default, of different runs


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
    _join(BACKENDS[device.type], _timeout())
    try:
        yield
    except Stopped:  # all processes stop together; after other errors, waiting for them could take forever
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _timeout() -> timedelta:
    text = os.environ.get(VARIABLE, str(TIMEOUT))
    with suppress(ValueError, OverflowError):
        if (seconds := float(text)) > 0 and math.isfinite(seconds):
            return timedelta(seconds=seconds)
    raise UsageError(shown(text), "a number of seconds above 0", field=VARIABLE)


def _join(backend: str, timeout: timedelta) -> None:
    global _store
    try:
        store, number, size = _rendezvous(min(timeout, CONNECT) if _is_store_of_torchrun() else timeout)
        store.set_timeout(timeout)
        _store = _own_part(store, number, size, timeout)
        dist.init_process_group(backend, store=_store, rank=number, world_size=size, timeout=timeout)
        _store.set(f"process/{number}", f"{os.getpid()} {socket.gethostname()}")
    except ValueError as error:
        expected = "the variables that torchrun sets"
        raise UsageError("an incomplete environment", expected, field="MASTER_ADDR", hint=str(error)) from error
    except RuntimeError as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT')}"
        if "EADDRINUSE" in str(error):
            raise ResourceError(f"{address} in use", "a free port", field="MASTER_PORT") from error
        expected = f"all {os.environ['WORLD_SIZE']} within {timeout.total_seconds():g} s"
        hint = SHARED_STORE if _is_store_of_torchrun() else ""
        raise ResourceError("processes that do not reach each other", expected, field=address, hint=hint) from error


def _rendezvous(timeout: timedelta) -> tuple[Store, int, int]:
    """Return the store of the group, the rank, and the number of processes."""
    from torch.distributed.rendezvous import rendezvous  # missing if torch was built without it

    store, number, size = next(rendezvous("env://", timeout=timeout))
    return store, number, size


def _own_part(store: Store, own_rank: int, size: int, timeout: timedelta) -> Store:
    """Return a part of the store that only the processes of this start use.

    torchrun keeps its store when it restarts processes, with what the earlier ones wrote, such as their addresses. So
    every process writes a new name, and the main process answers to the names it finds, until all have received its own.
    """
    name = secrets.token_hex(8)
    store.set(f"name/{own_rank}", name)
    if own_rank > 0:
        part = store.get(f"part/{name}").decode()
        store.set(f"{part}/{own_rank}", "")
        return _part_of(store, part)
    missing, end = list(range(1, size)), time.monotonic() + timeout.total_seconds()
    while missing:
        for other in missing:
            store.set(f"part/{store.get(f'name/{other}').decode()}", name)
        time.sleep(0.02)
        missing = [other for other in missing if not store.check([f"{name}/{other}"])]
        if missing and time.monotonic() > end:
            raise dist.DistStoreError(f"no answer from {named(missing)}")
    return _part_of(store, name)


def _part_of(store: Store, name: str) -> Store:
    from torch._C._distributed_c10d import PrefixStore  # missing if torch was built without it

    return PrefixStore(name, store)


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


def _is_store_of_torchrun() -> bool:
    """Return whether `torchrun` keeps the store, so that it survives each process; else the main process keeps it."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _store_of_torchrun() -> Store | None:
    """Return the store for a process that has not joined the group; None if there is no `torchrun`."""
    if launched_by_torchrun() and _is_store_of_torchrun():
        with suppress(RuntimeError, ValueError):
            return _part_of(_rendezvous(ANSWER)[0], f"start/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}")
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
    return isinstance(error, dist.DistError) or "gloo" in str(error)  # gloo's errors have no type of their own


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
