"""A new plugin of every kind: it installs, passes its own checks, and works in a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jitkit.kinds import KINDS
from tests.core.cli.conftest import run as run_command
from tests.end_to_end.test_project_files import WORKFLOWS, need_program
from tests.new_environment import new_environment, run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = ("backbone.width=8", "backbone.depth=1", "sampler.steps=2", "eval.num_windows=2", "train.max_steps=3")
TINY += ("train.warmup_steps=1", "train.batch_size=2", "train.validation_windows=2")
TINY += ("train.precision=fp32", "train.compile=off")
NAMES = {kind.table: f"my-{kind.word}" for kind in KINDS}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """A new plugin of every kind."""
    home = tmp_path_factory.mktemp("plugins")
    for kind in KINDS:
        done = run_command("plugins", "new", kind.word, NAMES[kind.table], "-o", home / f"jitkit-{kind.word}")
        assert done.returncode == 0, done.stderr
    return sorted(home.iterdir())


@pytest.fixture(scope="module")
def programs(tmp_path_factory, folders) -> Path:
    """The programs of an environment in which the plugins and the wheel of jitkit are installed."""
    return new_environment(tmp_path_factory.mktemp("environment"), ROOT, *folders)


def test_they_pass_their_own_tests(programs, folders, tmp_path) -> None:
    python = str(programs / "python")
    done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, folders), cwd=tmp_path)
    (passed,) = re.findall(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert int(passed) > 2 * len(folders)


def test_mypy_accepts_them(programs, folders, tmp_path) -> None:
    """All at once, and the example with them, since most of the time goes to the types of torch."""
    settings = folders[0] / "pyproject.toml"
    assert "strict = true" in settings.read_text()
    modules = [str(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    modules += map(str, (ROOT / "examples" / "jitkit-walsh" / "jitkit_walsh").glob("*.py"))
    options = ("--config-file", str(settings), "--cache-dir", str(tmp_path))
    run(str(programs / "python"), "-m", "mypy", *options, *modules, cwd=tmp_path)


def test_jitkit_checks_them(programs, tmp_path) -> None:
    done = run(str(programs / "jitkit"), "plugins", "check", *NAMES.values(), "--json", cwd=tmp_path)
    laws = json.loads(done.stdout)["laws"]
    assert {law["component"] for law in laws} == {*NAMES.values()}
    assert not [law for law in laws if law["broken"]]


def test_a_model_of_all_of_them_is_trained_and_evaluated(programs, folders, tmp_path) -> None:
    """With the settings that the readme of each one shows."""
    jitkit = str(programs / "jitkit")
    commands = "".join((folder / "README.md").read_text() for folder in folders)
    shown = re.findall(r"jitkit train jit-nano --set '(.*)'", commands)
    assert len(shown) == len(KINDS) - 1
    assert f"jitkit eval jit-nano --metric {NAMES['metrics']}\n" in commands
    overrides = [word for setting in (*shown, *TINY) for word in ("--set", setting)]
    run(jitkit, "train", "jit-nano", "--out", "run", *overrides, cwd=tmp_path)
    assert (tmp_path / "run" / f"{NAMES['trackers']}.txt").read_text().startswith("step 1: ")
    done = run(jitkit, "eval", "run", "--metric", NAMES["metrics"], "--json", cwd=tmp_path)
    assert json.loads(done.stdout)[NAMES["metrics"]]


def test_checkers_accept_their_workflows(folders, tmp_path) -> None:
    workflows = [str(path) for folder in folders for path in sorted((folder / ".github" / "workflows").iterdir())]
    run(need_program("actionlint"), *workflows, cwd=tmp_path)
    run(need_program("zizmor"), "--offline", "--quiet", "--min-severity=medium", *workflows, cwd=tmp_path)


def test_their_workflows_use_the_same_actions_as_those_of_jitkit(folders) -> None:
    """So that whatever updates those also reminds of these."""

    def actions_of(paths: list[Path]) -> set[str]:
        return set(re.findall(r"uses: ([\w-]+/.*)", "".join(path.read_text() for path in paths)))

    actions = actions_of(sorted(folders[0].glob(".github/workflows/*.yml")))
    assert len(actions) == 5
    assert actions <= actions_of(WORKFLOWS)
