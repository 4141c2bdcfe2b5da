"""Devices: selection, synchronization, timing, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.errors import ResourceError, shown


def find_device(name: str) -> torch.device:
    """Return the device named by `--device`; "auto" is a GPU if there is one. Each process of `torchrun` gets its own.

    Raises ResourceError if the device does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and (rank := parallel.local_rank()) is not None:
            name += f":{rank}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ResourceError(
            f"device {shown(name)}", "auto, cpu or a device of this machine", field="--device"
        ) from error
    return device


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return how long `action` takes, including its work on the device."""
    synchronize(device)
    started = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - started


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a CPU tensor copied to `device`, without waiting for a GPU that is busy."""
    device = torch.device(device)
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def synchronize(device: torch.device) -> None:
    """Wait until the device is idle. A CPU always is."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
