"""Shared fixtures."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from tests.linked_environment import link
from tests.new_environment import build, empty_environment, install, site_packages

settings.register_profile("tests", deadline=None)  # no test may fail because the machine is busy
settings.load_profile("tests")

# Parallel workers and their subprocesses share the cores. With one thread per core each, they spend half of their time waiting
# for each other. torch reads this variable on import, which happens later.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

# Of the processes that tests start: no command prints a warning in its normal course.
os.environ["PYTHONWARNINGS"] = "error"

# A shell ignores signals for background processes, such as these tests may be, and the processes that tests start inherit that.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of jitkit."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def programs_of(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that returns the programs of an environment with what requirements bring, such as "jitkit[zstd]"."""
    installed = empty_environment(tmp_path_factory.mktemp("installed"))
    install(installed, wheel)

    @cache
    def programs_of(*requirements: str) -> Path:
        programs = empty_environment(tmp_path_factory.mktemp("environment"))
        for requirement in requirements:
            link(programs, requirement, site_packages(installed))
        return programs

    return programs_of


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder next to the checkout with novels and other texts. Most machines do not have it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no optional texts next to the checkout")
    return folder
