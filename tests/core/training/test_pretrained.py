"""A new run from the weights of another model: `jitkit train --init`."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitkit.checkpoints.export import export_model
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import open_model
from jitkit.errors import ManifestError, Stopped
from jitkit.manifest.reader import read_manifest
from jitkit.report.comparison import compare, origins
from jitkit.report.run_record import read_run
from tests.training_lab import Lab, StopAt, digest


@pytest.fixture
def model(lab: Lab) -> Path:
    """Another model, trained for three steps."""
    lab.train("other", "train.max_steps=3", "train.seed=7")
    return lab.home / "other" / "best_model.pth"


def test_a_run_starts_with_only_the_averaged_weights_of_the_model(lab: Lab, model: Path) -> None:
    with pytest.raises(Stopped):
        lab.train("run", initial=model, plugins=(StopAt(0),))
    start = load_checkpoint(lab.home / "run" / "checkpoint_epoch_0.pth")
    assert start.step == 0
    expected = open_model(model).weights()
    for name, value in start.model_state_dict.items():
        assert value.equal(expected[name])
        assert start.ema_state_dict["0.999"][name].equal(expected[name])
    assert start.optimizer_state_dict is not None
    assert not start.optimizer_state_dict.get("state")


def test_a_resumed_run_does_not_need_the_initial_model(lab: Lab, model: Path) -> None:
    lab.train("whole", "train.max_steps=8", initial=model)
    with pytest.raises(Stopped):
        lab.train("parts", "train.max_steps=8", initial=model, plugins=(StopAt(5),))
    lab.train("parts", "train.max_steps=8", initial=model.with_name("gone.pth"), resume="auto")
    whole, parts = (lab.home / name / "checkpoint_epoch_2.pth" for name in ("whole", "parts"))
    assert digest(whole) == digest(parts)
    assert load_checkpoint(parts).data == load_checkpoint(whole).data


def test_runs_and_exports_name_the_origin_of_the_weights(lab: Lab, model: Path) -> None:
    lab.train("run", "train.max_steps=1", initial=model)
    assert "began as tiny, 3 steps on text" in lab.output()
    record = read_run(lab.home / "run")
    assert (record.initial or "").startswith("tiny, 3 steps on text")
    assert read_run(lab.home / "other").initial is None
    assert origins(compare([read_run(lab.home / "other"), record])) == [
        f"run began with the weights of {record.initial}"
    ]
    export_model(open_model(lab.home / "run" / "best_model.pth"), lab.home / "shared")
    trained_on = read_manifest(lab.home / "shared" / "manifest.toml").weights.trained_on
    assert trained_on is not None
    assert trained_on.endswith(load_checkpoint(model).data["origin"].replace(str(lab.text), lab.text.name))
    assert "after tiny, 3 steps" in trained_on
    lab.train("again", "train.max_steps=1", initial=lab.home / "shared" / "model.safetensors")  # and from there on


@pytest.mark.parametrize("override", ["codec.order=gray", "backbone.embed_dim=32"])
def test_weights_that_would_mean_something_else_are_refused(lab: Lab, model: Path, override: str) -> None:
    with pytest.raises(ManifestError, match=override.partition("=")[0]):
        lab.train("run", override, "train.max_steps=1", initial=model)
    assert not (lab.home / "run" / "manifest.toml").exists()


def test_the_training_recipe_can_differ(lab: Lab, model: Path) -> None:
    objective = "objective={use='codeword', context='codeword', self_conditioning=0.5, known=0.5}"
    result = lab.train("run", "train.max_steps=1", "schedule.std=0.5", objective, initial=model)
    assert result.step == 1
