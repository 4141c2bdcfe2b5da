"""Memory: what is free, what this process uses, and whether a tensor has any."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from jitkit.filesystem import system_text

_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")  # limits of a container (version 2)


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that this process can still allocate on `device`; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    without_swapping = _field(Path("/proc/meminfo"), "MemAvailable:", 1024)
    known = [value for value in (without_swapping, _container_limit(), _process_limit()) if value is not None]
    return max(0, min(known)) if known else None


def resident_memory() -> int:
    """Return the bytes of main memory that this process uses now; 0 if unknown."""
    return _field(_STATUS, "VmRSS:", 1024) or 0


def peak_memory() -> int | None:
    """Return the most bytes of main memory that this program has used so far; None if unknown.

    Linux's `getrusage` is not used, because its peak includes that of the parent process before fork and exec.
    """
    peak = _field(_STATUS, "VmHWM:", 1024)
    if peak is not None or sys.platform == "win32":
        return peak
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def has_values(tensor: Tensor) -> bool:
    """Return whether a tensor has memory. Tensors of a simulated step have none."""
    return not (isinstance(tensor, FakeTensor) or tensor.is_meta)


def _container_limit() -> int | None:
    """Return what the limit of the container leaves. Cached files do not count; the system frees them on demand."""
    try:
        limit, used = (system_text(_CGROUP / name).strip() for name in ("memory.max", "memory.current"))
        return int(limit) - int(used) + (_field(_CGROUP / "memory.stat", "inactive_file", 1) or 0)
    except ValueError:  # no container, or one without a limit ("max")
        return None


def _process_limit() -> int | None:
    """Return what `ulimit -v` leaves of the address space."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _field(_STATUS, "VmSize:", 1024)
    return None if limit == resource.RLIM_INFINITY or size is None else limit - size


def _field(file: Path, name: str, unit: int) -> int | None:
    """Return the number after `name` in a file of lines "name number", in bytes."""
    try:
        for line in system_text(file).splitlines():
            words = line.split()
            if words[:1] == [name]:
                return int(words[1]) * unit
    except (OSError, ValueError, IndexError):
        pass
    return None
