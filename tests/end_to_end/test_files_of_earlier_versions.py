"""Manifests, checkpoints and exported folders of commit 9455645 still load, and its runs resume to the same result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import jitkit
from jitkit.checkpoints.format import load_checkpoint

pytestmark = pytest.mark.slow

TIMES = ("seconds", "tokens_per_second")  # differ between equal runs
OLD = Path(__file__).parents[1] / "data" / "written_by_9455645"
JITKIT = [str(Path(sys.executable).parent / "jitkit")]


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `jitkit` in `folder` with the one thread that the old files were written with."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*JITKIT, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def log(folder: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.jsonl` without the times."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old files that a test may write to."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


@pytest.fixture(scope="module")
def validation_loss() -> float:
    """The validation loss that the old version measured at the last step."""
    return log(OLD / "trained")[-1]["validation_loss"]


def test_an_old_checkpoint_resumes_to_the_same_result(old: Path) -> None:
    expected, expected_log = load_checkpoint(OLD / "trained" / "best_model.pth"), log(OLD / "trained")
    (old / "trained" / "best_model.pth").unlink()
    run("train", "tiny.toml", "--out", "trained", "--resume", "auto", folder=old)
    found, found_log = load_checkpoint(old / "trained" / "best_model.pth"), log(old / "trained")
    execution = {key: value for key, value in found.execution.items() if key != "muon"}  # not recorded by old versions
    same_processor = execution == expected.execution and found.versions["torch"] == expected.versions["torch"]
    tolerance = 0.0 if same_processor else 1e-3  # other processors and torch versions round differently
    assert found.step == expected.step == 20
    states = [(found.model_state_dict, expected.model_state_dict)]
    states += [(found.ema_state_dict[decay], expected.ema_state_dict[decay]) for decay in expected.ema_state_dict]
    states += [(found.schedule_state_dict, expected.schedule_state_dict)]
    for ours, theirs in states:
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=tolerance, atol=tolerance, msg=name)
    assert len(found_log) == len(expected_log)
    for line, expected_line in zip(found_log, expected_log, strict=True):
        same = max(tolerance, 1e-6)  # norms of gradients were summed in float32
        assert line == pytest.approx(expected_line, rel=same, abs=same)


def test_an_old_checkpoint_has_the_same_validation_loss(old: Path, validation_loss: float) -> None:
    done = run("eval", "--checkpoint", "trained/best_model.pth", "--metric", "validation", "--json", folder=old)
    assert json.loads(done.stdout)["validation"]["loss"] == pytest.approx(validation_loss, rel=1e-4)


def test_an_old_exported_folder_holds_the_weights_of_its_checkpoint(old: Path) -> None:
    exported = jitkit.load_pipeline(old / "exported" / "model.safetensors").network.state_dict()
    trained = jitkit.load_pipeline(old / "trained" / "best_model.pth").network.state_dict()
    assert exported.keys() == trained.keys()
    assert all(torch.equal(exported[name], trained[name]) for name in trained)


@pytest.mark.parametrize("model", ["trained/best_model.pth", "exported/model.safetensors"])
def test_old_weights_generate(old: Path, model: str) -> None:
    pipeline = jitkit.load_pipeline(old / model)
    assert len(pipeline.generate([0, 1])) == 2


def test_an_old_manifest_trains_and_is_rewritten_under_the_new_names(old: Path) -> None:
    done = run("train", "tiny.toml", "--out", "new", "--set", "train.epochs=1", folder=old)
    assert done.stderr.count("objective.token_posterior") == 1, "one note about the renamed key"
    written = (old / "new" / "manifest.toml").read_text()
    assert "token_posterior = true" in written
    assert "reading" not in written
    assert "x_prev" not in written
