"""Faster memory and arithmetic on a CPU: fewer page faults, and no denormal numbers."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from jitkit.filesystem import system_text

# Option numbers of mallopt in <malloc.h>. Setting either one turns off glibc's own adjustment of both.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD = 2**25  # bytes from which an allocation has its own pages, returned when freed; glibc's maximum
TRIM_THRESHOLD = 2**30  # bytes of smaller freed allocations that the heap keeps

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # on Linux: "always [madvise] never"


def enable_large_pages() -> None:
    """Make torch use pages of 2 MB for large tensors, if Linux offers them on request.

    Tensors above 32 MiB get new memory each time: without this, one step of `jit-b4` touches half a million pages of 4 kB,
    which takes a fifth of the step. torch reads the variable once, when it creates its first CPU tensor.
    """
    if "[madvise]" in system_text(LARGE_PAGES):  # torch prints a warning on a system without this setting
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB of freed memory until it ends. Peak memory is unchanged.

    A step frees its tensors and the next one allocates as many. Pages returned in between must be filled with zeros again,
    which takes a tenth of a training step of `jit-nano`, and more of a sampling step. Does nothing without glibc, or if
    `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` or `GLIBC_TUNABLES` is set.
    """
    configured = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"} & os.environ.keys()
    if configured or not has_glibc():
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    library.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def has_glibc() -> bool:
    """Return whether the GNU C library manages memory."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError):  # another system or C library
        return False


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Treat float32 values below 1e-38 as zero in this thread and in threads that torch starts inside the block.

    A CPU computes with such values at a tenth of its speed. Gradients of certain tokens are that small: with them the
    backward pass of `jit-nano` took up to four times as long. Does nothing on processors without this mode.
    """
    before = float(torch.tensor(1e-40) * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
