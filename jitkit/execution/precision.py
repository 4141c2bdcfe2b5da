"""Whether bfloat16 pays, measured rather than believed."""

from __future__ import annotations

from functools import cache, partial

import torch

from jitkit import parallel
from jitkit.execution.device import seconds

GAIN = 1.3  # how much faster bfloat16 has to be; with hardware it is 2 to 16 times, in emulation slower
REPEATS = 4


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 matrices faster than float32 ones; measured once a process.

    Of processes that train together the leader's measurement is everybody's.

    Processors without the hardware emulate it, and some that have it run it no faster. The least of interleaved times
    decides, so that other work on the machine hardly matters.
    """
    side = 512 if device.type == "cpu" else 4096
    matrices = [torch.ones(side, side, device=device, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    try:
        times = [[seconds(partial(torch.mm, m, m), device) for m in matrices] for _ in range(REPEATS)]
    except RuntimeError:  # a device that does not know bfloat16
        return False
    fp32, bf16 = (min(column) for column in zip(*times, strict=True))
    return bool(parallel.broadcast(bf16 * GAIN < fp32))
