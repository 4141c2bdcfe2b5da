"""Devices: selection, description, synchronization, timing, copies, and simulation."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.errors import ResourceError, counted, shown
from jitkit.filesystem import system_text


def find_device(name: str) -> torch.device:
    """Return the device named by `--device`; "auto" is a GPU if there is one. Each process of `torchrun` gets its own.

    Raises ResourceError if the device does not exist.
    """
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        name = str(preferred_device(parallel.local_rank(), cuda=cuda, mps=mps))
    try:
        with warnings.catch_warnings(action="ignore"):  # about names of devices that torch no longer has
            device = torch.device(name)
        if device.type == "meta" or (device.type == "cpu" and device.index):
            raise RuntimeError("tensors without values, or a second CPU")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:  # a missing backend is an ImportError
        expected = "auto, cpu or a device of this machine"
        raise ResourceError(f"device {shown(name)}", expected, field="--device") from error
    return device


def preferred_device(rank: int | None, *, cuda: bool, mps: bool) -> torch.device:
    """Return the fastest kind of device that is available, for the process `rank` of `torchrun` on this machine, if any.

    Processes cannot exchange data of MPS, Apple's GPU.
    """
    if cuda:
        return torch.device("cuda") if rank is None else torch.device("cuda", rank)
    return torch.device("mps" if mps and rank is None else "cpu")


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


def describe_machine(device: torch.device) -> str:
    """Return processor or GPU, threads, operating system, and Python version."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return (
        f"{name}, {counted(os.cpu_count() or 1, 'processor')}, {counted(torch.get_num_threads(), 'thread')}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    """Return the processor's model name if the system reports it, else its architecture."""
    lines = system_text("/proc/cpuinfo").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


_simulating = False  # not a context variable: torch's own threads would not see it


@contextmanager
def simulated_device(device: torch.device) -> Iterator[None]:
    """Inside the block, make CPU computations take the code paths of `device`."""
    global _simulating
    before, _simulating = _simulating, device.type != "cpu"
    try:
        yield
    finally:
        _simulating = before


def runs_on_cpu(x: Tensor) -> bool:
    """Return whether `x` is on a CPU and does not simulate another device."""
    return x.device.type == "cpu" and not _simulating
