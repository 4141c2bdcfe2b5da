"""Devices: the one that a user names, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.errors import ResourceError, shown


def find_device(name: str) -> torch.device:
    """Return the device that `--device` names; "auto" is a GPU where there is one, for each process of `torchrun` its own.

    Raises ResourceError for a device that does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and (place := parallel.local_rank()) is not None:
            name += f":{place}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ResourceError(
            f"device {shown(name)}", "auto, cpu or a device of this machine", field="--device"
        ) from error
    return device


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """Return how long `action` takes, until the device has done all that it was asked for."""
    synchronise(device)
    started = time.perf_counter()
    action()
    synchronise(device)
    return time.perf_counter() - started


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return what is in a tensor of the CPU on `device`; a GPU is not waited for, which may still be busy."""
    device = torch.device(device)
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle; a CPU always is."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
