"""A new plugin of every kind: it installs, passes its own checks, and works in a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jitkit.kinds import KINDS
from tests.core.cli.conftest import run as run_command
from tests.environment import Environment

pytestmark = pytest.mark.slow

TINY = ("backbone.width=8", "backbone.depth=1", "sampler.steps=2", "eval.num_windows=2", "train.max_steps=3")
TINY += ("train.warmup_steps=1", "train.batch_size=2", "train.validation_windows=2")
TINY += ("train.precision=fp32", "train.compile=off")
NAMES = {kind.table: f"my-{kind.word}" for kind in KINDS}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    """An environment in which a new plugin of every kind is installed from its folder."""
    home = tmp_path_factory.mktemp("plugins")
    environment = Environment(home / "environment", from_checkout=True)
    for kind in KINDS:
        done = run_command("plugins", "new", kind.word, NAMES[kind.table], "-o", home / f"jitkit-{kind.word}")
        assert done.returncode == 0, done.stderr
    environment.install(*(word for folder in sorted(home.glob("jitkit-*")) for word in ("-e", str(folder))))
    return environment


@pytest.fixture(scope="module")
def folders(environment) -> list[Path]:
    """The folders of the plugins."""
    return sorted(environment.home.parent.glob("jitkit-*"))


def test_they_pass_their_own_tests(environment, folders, tmp_path) -> None:
    done = environment.run("python", "-m", "pytest", "-p", "no:cacheprovider", *map(str, folders), cwd=tmp_path)
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


def test_mypy_accepts_them(environment, folders, tmp_path) -> None:
    """All at once, since most of the time goes to the types of torch."""
    settings = folders[0] / "pyproject.toml"
    assert "strict = true" in settings.read_text()
    modules = [str(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    environment.run(
        "python", "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(tmp_path), *modules, cwd=tmp_path
    )


def test_jitkit_checks_them(environment, tmp_path) -> None:
    done = environment.run("python", "-m", "jitkit", "plugins", "check", *NAMES.values(), "--json", cwd=tmp_path)
    laws = json.loads(done.stdout)["laws"]
    assert {law["component"] for law in laws} == {*NAMES.values()}
    assert not [law for law in laws if law["broken"]]


def test_a_model_of_all_of_them_is_trained_and_evaluated(environment, folders, tmp_path) -> None:
    """With the settings that the readme of each one shows."""
    commands = "".join((folder / "README.md").read_text() for folder in folders)
    shown = re.findall(r"jitkit train jit-nano --set '(.*)'", commands)
    assert len(shown) == len(KINDS) - 1
    assert f"jitkit eval jit-nano --metric {NAMES['metrics']}" in commands
    overrides = [word for setting in (*shown, *TINY) for word in ("--set", setting)]
    environment.run("python", "-m", "jitkit", "train", "jit-nano", "--out", "run", *overrides, cwd=tmp_path)
    assert (tmp_path / "run" / f"{NAMES['trackers']}.txt").read_text().startswith("step 1: ")
    done = environment.run(
        "python", "-m", "jitkit", "eval", "run", "--metric", NAMES["metrics"], "--json", cwd=tmp_path
    )
    assert json.loads(done.stdout)[NAMES["metrics"]]
