"""Marks computations on CPU tensors that simulate a step on another device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

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
