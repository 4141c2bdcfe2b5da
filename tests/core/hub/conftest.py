"""A Hub on this machine, and a model to share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from jitkit.checkpoints.export import files_to_share
from jitkit.checkpoints.open import open_model
from tests.extras import need
from tests.hub_server import TOKEN, Hub, serving
from tests.training_lab import uninterrupted


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    return uninterrupted(tmp_path_factory.mktemp("hub"), "train.max_steps=3")


@pytest.fixture(scope="session")
def files(run: Path) -> dict[str, bytes]:
    """The files of the model of the run."""
    return files_to_share(open_model(run))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that `huggingface_hub` uses in this process, with an empty cache, and without a login."""
    need("huggingface_hub")
    from huggingface_hub import constants

    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server has the older protocol
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
        yield hub


class Command(Protocol):
    """Runs `jitkit WORDS` with more variables, and requires an exit code."""

    def __call__(self, *words: object, exit_code: int = 0, **more: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[tuple[Hub, Command]]:
    """A Hub, and a function that runs commands in processes of their own, with a login and an empty cache."""
    need("huggingface_hub")
    with serving() as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        environment |= {"JITKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "HF_TOKEN": TOKEN}

        def command(*words: object, exit_code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", "jitkit", *map(str, words)]
            done = subprocess.run(line, env=environment | more, capture_output=True, text=True, check=False)
            assert done.returncode == exit_code, done.stderr
            return done

        yield hub, command


@pytest.fixture
def login(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login of someone who may do everything."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
