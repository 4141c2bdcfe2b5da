from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jitkit.storage import faults
from tests.training_lab import Lab


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Rounding depends on the number of threads, and one is faster for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(faults.VARIABLE, raising=False)
    faults._reached.clear()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)
