"""Files and folders whose names are not UTF-8 are read and written like all others, and named in messages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.core.cli.conftest import run

NAME = "nov\udce9l"  # the byte 0xe9, as Python writes it


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Path) -> Path:
    place = tmp_path / NAME
    place.mkdir()
    (place / f"{NAME}.pth").write_bytes(checkpoint.read_bytes())
    (place / f"{NAME}.txt").write_text("to be or not to be " * 100)
    return place


@pytest.mark.slow
def test_a_model_is_evaluated_and_exported(folder: Path, tmp_path: Path) -> None:
    model, text = folder / f"{NAME}.pth", tmp_path / "text"
    text.mkdir()
    os.link(folder / f"{NAME}.txt", text / f"{NAME}.txt")
    done = run("eval", "--checkpoint", model, "--data", text, "--out", folder / "report", "--metric", "validation")
    assert done.returncode == 0, done.stderr
    assert "nov?l.pth" in json.loads((folder / "report" / "report.json").read_text())["checkpoint"]
    done = run("export", model, "-o", folder / "exported")
    assert done.returncode == 0, done.stderr
    assert r"nov\\udce9l.pth" in (folder / "exported" / "README.md").read_text()


@pytest.mark.parametrize("option", ["--data", "--set"])
def test_a_name_that_a_manifest_cannot_hold_is_refused(folder: Path, option: str) -> None:
    value = folder if option == "--data" else f"data.path={folder}"
    done = run("data", "inspect", "jit-nano", option, value)
    assert done.returncode == (4 if option == "--data" else 3)
    assert done.stderr.startswith(f"jitkit: error: {option}: found '")
    assert "UTF-8" in done.stderr
    assert done.stderr.count("\n") == 1
