"""Fixtures for running the docs: a folder with a text, the repository's files, and a trained model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from tests.docs.pages import ROOT
from tests.hub_server import TOKEN, Hub, serving
from tests.shell_server import shell_program

CHECKOUT = ("Makefile", "pyproject.toml", "constraints.txt", "research", "docs", "tests", "zoo")
QUICK = ("backbone.depth=1", "backbone.embed_dim=32", "backbone.num_heads=2", "sampler.steps=4", "train.max_steps=4")
QUICK += (
    "train.batch_size=4",
    "train.warmup_steps=1",
    "train.validation_windows=4",
    "eval.num_windows=2",
    "eval.times=[0.5]",
)
TIMEOUT = 300


@dataclass(frozen=True)
class Reader:
    """A shell in a folder."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command, with stderr redirected to stdout."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A Hub on this machine."""
    with serving() as hub:
        yield hub


@pytest.fixture(scope="session")
def reader_at_home(tmp_path_factory, hub) -> Iterator[Reader]:
    """A reader with a text in `novel.txt`, a tiny trained run in `run/jit-nano`, and a login at a Hub."""
    folder = tmp_path_factory.mktemp("reader")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "JITKIT_CACHE": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
        "JITKIT_PLUGINS": "",
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path_factory.mktemp("hf")),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
    }
    (folder / "novel.txt").write_text("\n\n".join(topics.values())[:40_000], encoding="utf-8")
    with shell_program(environment) as programs:
        reader = Reader(folder, environment | {"PATH": f"{programs}{os.pathsep}{environment['PATH']}"})
        overrides = " ".join(f"--set '{override}'" for override in QUICK)
        done = reader.run(f"jitkit train jit-nano --out run/jit-nano {overrides}")
        assert done.returncode == 0, done.stdout
        yield reader


@pytest.fixture
def newcomer(reader_at_home, tmp_path) -> Reader:
    """A reader in an empty folder, except for what make needs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    return Reader(tmp_path, reader_at_home.environment)


@pytest.fixture
def reader(reader_at_home, tmp_path) -> Reader:
    """A reader in a fresh folder that also contains the repository's files."""
    shutil.copytree(reader_at_home.folder, tmp_path, dirs_exist_ok=True)
    for name in CHECKOUT:
        (tmp_path / name).symlink_to(ROOT / name)
    return Reader(tmp_path, reader_at_home.environment)
