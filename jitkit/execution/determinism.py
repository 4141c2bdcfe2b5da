"""Gradients that are the same each time, bit for bit, on a GPU too; on a CPU they are anyway.

Of what a network runs, the gradient of fused attention is not by itself: its parts are added up in the order in which they
are ready. torch's flash and memory-efficient kernels have an order of their own where determinism is asked for; cuDNN's, which
some GPUs prefer, has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


def configure_cublas() -> None:
    """Give cuBLAS its own workspace, which makes it deterministic. torch reads this once, before the first matrix product."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask for determinism, in the forward and in the backward pass of training: what is compiled wants it in both.

    torch raises RuntimeError for an operation that has none.
    """
    if device.type != "cuda":
        yield
        return
    asked = not torch.are_deterministic_algorithms_enabled() and _granted(device)
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    deterministic: Any = torch.utils.deterministic
    filled = deterministic.fill_uninitialized_memory
    torch.backends.cuda.enable_cudnn_sdp(False)
    if asked:
        torch.use_deterministic_algorithms(True)
        deterministic.fill_uninitialized_memory = False  # nobody reads it, and filling takes time
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
        if asked:
            torch.use_deterministic_algorithms(False)
            deterministic.fill_uninitialized_memory = filled


@cache
def _granted(device: torch.device) -> bool:
    """Tell whether matrix products can be had with determinism: torch wants to know how before its first one."""
    torch.use_deterministic_algorithms(True)
    try:
        torch.mm(*(torch.ones(8, 8, device=device) for _ in range(2)))
    except RuntimeError:
        return False
    finally:
        torch.use_deterministic_algorithms(False)
    return True
