"""Commands whose work the processes of `torchrun` share, such as `jitkit generate`; each process holds the whole model.

All run the same code. They divide what `map_batches` computes, and repeat the rest. A result does not depend on their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor

from jitkit.parallel.process_group import broadcast_bytes, process_group, rank, world_size

Batch = TypeVar("Batch")
Plain = TypeVar("Plain")

_is_shared = False


@contextmanager
def sharing_work(device: torch.device) -> Iterator[None]:
    """Join the process group of `torchrun` until the block ends, and share work there. Does nothing for a single process.

    Elsewhere in a group, such as in the callbacks of a training run, a process works for itself.
    """
    global _is_shared
    with process_group(device):
        _is_shared = world_size() > 1
        try:
            yield
        finally:
            _is_shared = False


def num_sharing() -> int:
    """Return how many processes share the work; 1 if this one works for itself."""
    return world_size() if _is_shared else 1


def agreed(value: Plain) -> Plain:
    """Return `value`, plain data, of the main process to all that share the work: of what they would decide differently."""
    if num_sharing() == 1:
        return value
    found: Plain = json.loads(broadcast_bytes(json.dumps(value).encode()))
    return found


def map_batches(compute: Callable[[Batch], Sequence[Tensor]], batches: Sequence[Batch]) -> Iterator[list[Tensor]]:
    """Yield the tensors ``compute(batch)`` for each batch, in order, on the CPU.

    Each of N processes computes every N-th batch, and all get all results.
    """
    if num_sharing() == 1:
        for batch in batches:
            yield [value.cpu() for value in compute(batch)]
        return
    for start in range(0, len(batches), world_size()):
        together = batches[start : start + world_size()]
        own = _packed(compute(together[rank()])) if rank() < len(together) else b""
        for source in range(len(together)):
            yield _unpacked(broadcast_bytes(own, source))


def _packed(tensors: Sequence[Tensor]) -> bytes:
    return save({str(index): value.cpu().contiguous() for index, value in enumerate(tensors)})


def _unpacked(data: bytes) -> list[Tensor]:
    tensors = load(data)
    return [tensors[str(index)] for index in range(len(tensors))]
