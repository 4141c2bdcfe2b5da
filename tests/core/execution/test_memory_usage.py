"""The reported peak memory belongs to the program alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from jitkit.execution.memory_usage import peak_memory, resident_memory
held = bytearray({held})
print(peak_memory(), resident_memory())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems include the peak of the parent")
def test_the_peak_is_that_of_the_program_itself() -> None:
    """It excludes the parent process, and grows by what the program allocates."""
    large = bytearray(b"x") * 1_500_000_000  # more than Python and torch hold in the child
    peaks = []
    for held in (0, 200_000_000):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(held=held)], capture_output=True, text=True, check=True
        )
        peak, resident = map(int, done.stdout.split())
        assert resident <= peak + 2**20, "the kernel counts both with a delay"
        assert peak < len(large)
        peaks.append(peak)
    assert peaks[1] - peaks[0] == pytest.approx(200_000_000, rel=0.1)
