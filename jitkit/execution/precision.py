"""Precision: whether bfloat16 is faster than float32 on a device, which is measured, float64, and torch's default dtype."""

from __future__ import annotations

from functools import cache, partial

import torch

from jitkit import parallel
from jitkit.errors import UsageError
from jitkit.execution.device import seconds

GAIN = 1.3  # least speedup for which bfloat16 is used; it is 2 to 16 in hardware and below 1 in emulation
REPEATS = 12  # a busy machine disturbs some of them


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices faster than float32 ones. Measured once per process.

    Processors without the hardware emulate it, and some with it gain nothing. The minimum of interleaved times is compared,
    so other work on the machine hardly matters. In a group of processes the main process measures for all. MPS counts as
    slow: nobody has checked there that autocast gives the same results.
    """
    if device.type == "mps":
        return False
    side = 512 if device.type == "cpu" else 4096
    matrices = [torch.ones(side, side, device=device, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    try:
        times = [[seconds(partial(torch.mm, m, m), device) for m in matrices] for _ in range(REPEATS)]
    except RuntimeError:  # a device without bfloat16
        return False
    fp32, bf16 = (min(column) for column in zip(*times, strict=True))
    return bool(parallel.broadcast(bf16 * GAIN < fp32))


def widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on MPS, which has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def require_default_float32() -> None:
    """Raise UsageError unless torch creates float32 tensors by default, as all models and recorded results do."""
    if (dtype := torch.get_default_dtype()) != torch.float32:
        hint = "torch.set_default_dtype(torch.float32)"
        raise UsageError(f"torch's default dtype {dtype}", "torch.float32", hint=hint)
