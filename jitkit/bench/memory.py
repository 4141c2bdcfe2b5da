"""Peak memory, compared with the prediction of `--dry-run`."""

from __future__ import annotations

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.execution.memory import peak_memory


def measure_memory(target: BenchmarkTarget) -> dict[str, int]:
    """Return the peak since the process began, on the device that trains. Call it right after `measure_training`.

    On a CPU it includes the program with everything imported. The peak is left out if the system does not report it.
    """
    peak = _peak(target.device)
    return ({} if peak is None else {"peak_bytes": peak}) | {"predicted_bytes": target.estimate.memory.total}


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory() if device.type == "cpu" else None
