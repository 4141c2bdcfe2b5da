"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Workers beside each other, and the processes that they start, share the cores. With a thread for every core each, they spend
# half of their time waiting for each other's threads. torch reads this as it is imported, which comes later.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Novels and other texts beside the checkout; absent on most machines."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the optional texts beside the checkout are absent")
    return folder
