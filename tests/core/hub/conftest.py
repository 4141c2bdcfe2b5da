"""A Hub on this machine, and a model to share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def login(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login of someone who may do everything."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
