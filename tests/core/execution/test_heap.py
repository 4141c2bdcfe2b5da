"""Freed memory is kept: a step finds its pages where the last one left them. In processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import jitkit.execution.heap as heap

STEPS = 4

PROGRAM = f"""
import resource, sys, jitkit
from jitkit.execution.device import find_device
if sys.argv[1] == "keep":
    find_device("cpu")
pipeline = jitkit.load_pipeline("jit-nano")
pipeline.generate(range(32), steps={STEPS})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
pipeline.generate(range(32), steps={STEPS})
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / {STEPS})
"""


def pages_a_step(how: str, **environment: str) -> float:
    """Return how many new pages a step of sampling asks for, in a process that has taken such steps before."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM, how]
    return float(subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not heap.has_glibc(), reason="how memory is kept is glibc's")
def test_a_step_asks_for_no_new_pages_unless_the_environment_wishes_it_so() -> None:
    kept = pages_a_step("keep")
    assert 5 * kept < pages_a_step("as it is")
    assert 5 * kept < pages_a_step("keep", MALLOC_TRIM_THRESHOLD_="131072")
