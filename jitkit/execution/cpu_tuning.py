"""Memory that is freed and wanted again a moment later: kept where it is small, had in large pages where it is large."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# Numbers of <malloc.h>. Setting either ends glibc's own adjustment, which comes to the same first number and twice as much as
# the largest piece for the second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD = (
    2**25
)  # bytes from which a piece has pages of its own, given back when it is freed; glibc allows no more
TRIM_THRESHOLD = 2**30  # bytes of freed smaller pieces that the heap keeps

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # "always [madvise] never", where Linux has them


def ask_for_large_pages() -> None:
    """Let torch ask for pages of 2 MB for tensors as large, where Linux gives them to those who ask.

    Tensors above 32 MiB have memory of their own, anew each time: a step of `jit-b4` asks for half a million pages of 4 kB, which
    take the system a fifth of the step. torch looks at the variable once, when it first makes a tensor on a CPU.
    """
    try:
        if "[madvise]" in LARGE_PAGES.read_text():
            os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    except OSError:  # another system, or one without: torch would warn there
        pass


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB of memory that it has freed, for the rest of its life; the most it holds is the same.

    A step frees its tensors and the next one asks for as many: pages that were given back in between come anew and filled with
    zeros, which takes a tenth of a training step of `jit-nano` and more of one of sampling. Where the C library is not
    glibc, or its environment variables (`MALLOC_..._THRESHOLD_`, `GLIBC_TUNABLES`) say something of this already, nothing
    changes.
    """
    said = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"} & os.environ.keys()
    if said or not has_glibc():
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    library.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def has_glibc() -> bool:
    """Tell whether memory is managed by the GNU C library."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError):  # another system, another library
        return False
