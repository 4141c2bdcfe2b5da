"""Threads that wait for others yield their processor, unless a user wants something else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from jitkit.openmp import SPINS, WAITING

API = "import jitkit; jitkit.load('jit-nano')"
CLI = "import sys; sys.argv = ['jitkit', 'generate', 'jit-nano', '-n', '1', '--steps', '1']; import jitkit.__main__"


def spins(program: str, **environment: str) -> str:
    """Return how often a thread of `program` looks for work before it sleeps, as torch's OpenMP library reports it."""
    plain = {key: value for key, value in os.environ.items() if key not in WAITING}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=plain | {"OMP_DISPLAY_ENV": "verbose"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not found:
        assert "torch" in program or done.returncode == 0, done.stderr
        pytest.skip("torch uses another OpenMP library here")
    assert len(set(found)) == 1
    return str(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("program", [API, CLI])
def test_threads_spin_only_briefly(program: str) -> None:
    assert spins(program) == SPINS
    assert int(spins("import torch")) > 10 * int(SPINS), "the default of the library"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "expected"), [("GOMP_SPINCOUNT", "77", "77"), ("OMP_WAIT_POLICY", "passive", "0")]
)
def test_the_environment_takes_precedence(name: str, value: str, expected: str) -> None:
    assert spins("import jitkit, torch", **{name: value}) == expected
