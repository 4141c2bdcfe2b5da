"""How the processes that `torchrun` starts find each other: in its store, which all of them can read and write."""

from __future__ import annotations

import os
import secrets
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import torch.distributed as dist

from jitkit.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

CONNECT = timedelta(seconds=60)  # how long a process tries to reach the store of torchrun, which is there before it
LOST_STORE = (  # torchrun 2.13 gives the others its address again
    "If the machine with the store of torchrun was lost, set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun."
)


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


def is_store_of_torchrun() -> bool:
    """Return whether `torchrun` keeps the store, so that it survives each process; else the main process keeps it."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def meet(backend: str, timeout: timedelta) -> Store:
    """Wait for the other processes, join their process group, and return its store.

    Raises UsageError or ResourceError.
    """
    try:
        store, rank, size = rendezvous(min(timeout, CONNECT) if is_store_of_torchrun() else timeout)
        store.set_timeout(timeout)
        own = _own_part(store, rank, size, timeout)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)
    except ValueError as error:
        expected = "the variables that torchrun sets"
        raise UsageError("an incomplete environment", expected, field="MASTER_ADDR", hint=str(error)) from error
    except RuntimeError as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT')}"
        if "EADDRINUSE" in str(error):
            raise ResourceError(f"{address} in use", "a free port", field="MASTER_PORT") from error
        expected = f"all {os.environ['WORLD_SIZE']} within {timeout.total_seconds():g} s"
        hint = LOST_STORE if is_store_of_torchrun() else ""
        raise ResourceError("processes that do not reach each other", expected, field=address, hint=hint) from error
    return own


def rendezvous(timeout: timedelta) -> tuple[Store, int, int]:
    """Return the store, the rank of this process, and the number of processes. Raises ValueError or RuntimeError."""
    from torch.distributed.rendezvous import rendezvous as meeting  # missing if torch was built without it

    store, rank, size = next(meeting("env://", timeout=timeout))
    return store, rank, size


def part_of(store: Store, name: str) -> Store:
    """Return the part of a store whose keys begin with `name`."""
    from torch._C._distributed_c10d import PrefixStore

    return PrefixStore(name, store)


def _own_part(store: Store, rank: int, size: int, timeout: timedelta) -> Store:
    """Return a part of the store that only the processes of this start use.

    When torchrun restarts processes, its store still has what the earlier ones wrote, such as their addresses. So every
    process writes a new name, and the main process answers to the names it finds until all have received its own.
    """
    name = secrets.token_hex(8)
    store.set(f"name/{rank}", name)
    if rank > 0:
        part = store.get(f"part/{name}").decode()
        store.set(f"{part}/{rank}", "")
        return part_of(store, part)
    missing, end = list(range(1, size)), time.monotonic() + timeout.total_seconds()
    while missing:
        for other in missing:
            store.set(f"part/{store.get(f'name/{other}').decode()}", name)
        time.sleep(0.02)
        missing = [other for other in missing if not store.check([f"{name}/{other}"])]
        if missing and time.monotonic() > end:
            raise dist.DistStoreError(f"{len(missing)} of {size} do not answer")
    return part_of(store, name)
