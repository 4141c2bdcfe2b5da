"""Bit-identical gradients on a GPU. On a CPU they are anyway.

The gradient of fused attention is not deterministic by default: its terms are summed in the order they finish. torch's flash
and memory-efficient kernels have a deterministic mode. The cuDNN kernel, which some GPUs prefer, has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


def configure_cublas() -> None:
    """Give cuBLAS its own workspace, which makes it deterministic. Must precede the first matrix product."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels. Compiled code needs this in both the forward and the backward pass.

    torch raises RuntimeError for an operation without such a kernel.
    """
    if device.type != "cuda":
        yield
        return
    enable = not torch.are_deterministic_algorithms_enabled() and has_deterministic_products(device)
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    settings: Any = torch.utils.deterministic
    fill = settings.fill_uninitialized_memory
    torch.backends.cuda.enable_cudnn_sdp(False)
    if enable:
        torch.use_deterministic_algorithms(True)
        settings.fill_uninitialized_memory = False  # nothing reads it, and filling takes time
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
        if enable:
            torch.use_deterministic_algorithms(False)
            settings.fill_uninitialized_memory = fill


@cache
def has_deterministic_products(device: torch.device) -> bool:
    """Return whether matrix products work in deterministic mode, which must be configured before the first one."""
    torch.use_deterministic_algorithms(True)
    try:
        torch.mm(*(torch.ones(8, 8, device=device) for _ in range(2)))
    except RuntimeError:
        return False
    finally:
        torch.use_deterministic_algorithms(False)
    return True
