"""Pages: a step finds those of small tensors where the last one left them, and large tensors have few. In processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import jitkit.execution.cpu_tuning as heap

STEPS = 4

PAGES = "resource.getrusage(resource.RUSAGE_SELF).ru_minflt"

STEP = f"""
import resource, jitkit
pipeline = jitkit.load_pipeline("jit-nano")
pipeline.generate(range(32), steps={STEPS})
before = {PAGES}
pipeline.generate(range(32), steps={STEPS})
print(({PAGES} - before) / {STEPS})
"""

LARGE_TENSOR = f"""
import resource, torch, jitkit.execution
torch.empty(1)
before = {PAGES}
torch.zeros(2**26, dtype=torch.uint8)
print({PAGES} - before)
"""


def new_pages(program: str, **environment: str) -> float:
    """Return how many new pages a process counts, as it says."""
    named = ("MALLOC_", "GLIBC_", "THP_")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(named)}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not heap.has_glibc(), reason="how memory is kept is glibc's")
def test_a_step_asks_for_no_new_pages_unless_the_environment_wishes_it_so() -> None:
    few = 200  # without the heap's keeping it is thousands
    assert new_pages(STEP) < few
    assert new_pages(STEP, MALLOC_TRIM_THRESHOLD_="131072") > 5 * few


@pytest.mark.skipif(
    not heap.LARGE_PAGES.exists() or "[madvise]" not in heap.LARGE_PAGES.read_text(),
    reason="this system gives no large pages to those who ask",
)
def test_a_large_tensor_has_few_pages_unless_the_environment_wishes_it_so() -> None:
    assert 5 * new_pages(LARGE_TENSOR) < new_pages(LARGE_TENSOR, THP_MEM_ALLOC_ENABLE="0")
