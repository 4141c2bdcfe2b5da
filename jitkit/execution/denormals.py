"""Numbers too small to matter, which a CPU computes with at a tenth of its speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Take float32 below 1e-38 for zero in this thread, and in the threads that torch starts meanwhile.

    Gradients of tokens that are certain are that small; with them the backward pass of `jit-nano` took up to four times as
    long. Where a processor cannot, nothing changes.
    """
    before = float(torch.tensor(1e-40) * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
