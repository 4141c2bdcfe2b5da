"""How much memory there is, and what an error looks like when it has run out."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

_CGROUP = Path("/sys/fs/cgroup")  # the limits of a container (version 2)


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that this process can still have on `device`; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    known = [value for value in (_of_machine(), _of_container(), _of_process()) if value is not None]
    return max(0, min(known)) if known else None


def resident_memory() -> int:
    """Return the bytes of main memory that this process holds now; 0 where nobody says."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _page_size()
    except (OSError, ValueError, IndexError):
        return 0


def peak_memory() -> int | None:
    """Return the most bytes of main memory that this program has held so far; None where nobody says.

    `getrusage` would do, but for what it inherits: the peak of the process that started this one, through fork and exec.
    """
    peak = _field(Path("/proc/self/status"), "VmHWM:", 1024)
    if peak is not None or sys.platform == "win32":
        return peak
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def has_values(tensor: Tensor) -> bool:
    """Tell whether a tensor has memory, and is not one of a step that is only simulated."""
    return not (isinstance(tensor, FakeTensor) or tensor.is_meta)


def _page_size() -> int:
    import resource

    return resource.getpagesize()


def _of_machine() -> int | None:
    """Return what Linux says could be had without swapping."""
    return _field(Path("/proc/meminfo"), "MemAvailable:", 1024)


def _of_container() -> int | None:
    """Return what the limit of the container leaves; cached files do not count, they go when memory is wanted."""
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) + (_field(_CGROUP / "memory.stat", "inactive_file", 1) or 0)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None


def _of_process() -> int | None:
    """Return what `ulimit -v` leaves of the address space."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _field(Path("/proc/self/status"), "VmSize:", 1024)
    return None if limit == resource.RLIM_INFINITY or size is None else limit - size


def _field(file: Path, name: str, unit: int) -> int | None:
    """Return the number behind `name` in a file of lines "name number", in bytes."""
    try:
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] == [name]:
                return int(words[1]) * unit
    except (OSError, ValueError, IndexError):
        pass
    return None
