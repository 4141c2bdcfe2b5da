"""How the threads of torch wait for each other on a CPU. Set before torch starts, which reads it once."""

from __future__ import annotations

import os

SPINS = "600"  # a few microseconds; libgomp's default is 300,000
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # a user's own choice


def wait_briefly() -> None:
    """Let waiting threads soon yield to other processes, unless the environment sets how they wait.

    With another busy process on two cores, threads that spin make a step of `jit-nano` 3.6 times as long. Threads that never
    spin lose a sixth on a quiet machine, because a step has thousands of short waits. Only libgomp, which torch uses on
    Linux, reads this setting.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS
