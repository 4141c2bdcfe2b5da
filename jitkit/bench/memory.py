"""The most memory that was held, beside what `--dry-run` says."""

from __future__ import annotations

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.execution.memory import peak_memory


def measure_memory(target: BenchmarkTarget) -> dict[str, int]:
    """Return the peak since the process began, on the device that trains; call it right after training was measured.

    On a CPU the program and all that it has imported are part of it. A system that does not tell gets no peak.
    """
    peak = _peak(target.device)
    return ({} if peak is None else {"peak_bytes": peak}) | {"predicted_bytes": target.estimate.memory.total}


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory() if device.type == "cpu" else None
