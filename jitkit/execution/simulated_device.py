"""A step that is only simulated, on a CPU, may stand in for one on another device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_standing_in = False  # not a context variable, which torch's own threads would not see


@contextmanager
def simulated_device(device: torch.device) -> Iterator[None]:
    """Let what is computed on a CPU meanwhile be computed as on `device`."""
    global _standing_in
    before, _standing_in = _standing_in, device.type != "cpu"
    try:
        yield
    finally:
        _standing_in = before


def runs_on_cpu(x: Tensor) -> bool:
    """Tell whether what is computed with `x` should suit a CPU: it is on one, and does not stand in for another device."""
    return x.device.type == "cpu" and not _standing_in
