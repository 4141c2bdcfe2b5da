"""Memory pages, in separate processes, and denormal numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from jitkit.execution import cpu_tuning

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
    """Return the number of page faults that a process prints."""
    named = ("MALLOC_", "GLIBC_", "THP_")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(named)}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not cpu_tuning.has_glibc(), reason="only glibc has these settings")
def test_a_step_needs_no_new_pages_unless_the_environment_is_set() -> None:
    few = 500  # thousands if freed memory is not kept
    assert new_pages(STEP) < few
    assert new_pages(STEP, MALLOC_TRIM_THRESHOLD_="131072") > 5 * few


@pytest.mark.slow
@pytest.mark.skipif(
    not cpu_tuning.LARGE_PAGES.exists() or "[madvise]" not in cpu_tuning.LARGE_PAGES.read_text(),
    reason="this system has no large pages on request",
)
def test_a_large_tensor_has_few_pages_unless_the_environment_is_set() -> None:
    assert 5 * new_pages(LARGE_TENSOR) < new_pages(LARGE_TENSOR, THP_MEM_ALLOC_ENABLE="0")


TINY = torch.tensor([1e-40])


def test_denormals_are_zero_inside_the_block_only() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such mode")
    assert TINY * 1.0 != 0
    with cpu_tuning.denormals_are_zero():
        assert TINY * 1.0 == 0
        with cpu_tuning.denormals_are_zero():
            pass
        assert TINY * 1.0 == 0
    assert TINY * 1.0 != 0
