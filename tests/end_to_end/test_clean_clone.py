"""The committed files are sufficient, and small; nothing depends on other files of a working tree."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), "HEAD"], check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def jitkit(clone: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{clone}{os.pathsep}{clone / 'plugins'}", "JITKIT_PLUGINS": ""}
    program = "import jitkit.cli; print(jitkit.cli.__file__); jitkit.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    place, _, output = done.stdout.partition("\n")
    assert Path(place).is_relative_to(clone)
    return output


def test_only_weights_of_the_zoo_are_large(clone) -> None:
    """A file that a command left by accident would stay in the history for good."""
    large = {path.relative_to(clone).parent.as_posix() for path in clone.rglob("*") if path.stat().st_size > 2**20}
    assert large == {"zoo/weights"}


def test_every_manifest_resolves_and_builds(clone) -> None:
    checked = jitkit(clone, "zoo", "check")
    assert checked.count(": ok") == len(list((ROOT / "zoo").glob("*.toml")))


def test_both_main_make_targets_create_an_environment_and_run(clone) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "VENV"))}
    for target in ("train", "test"):
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=clone, env=environment, capture_output=True, text=True, check=True
        )
        assert ".venv/bin/python" in done.stdout
        assert "venv" in done.stdout.splitlines()[0]
