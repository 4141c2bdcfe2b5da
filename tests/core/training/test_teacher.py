"""Distillation from a teacher: `jitkit train --teacher`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import load_pipeline, open_model
from jitkit.errors import DivergedError, InputError, ManifestError, RefusedError, Stopped, UsageError
from jitkit.manifest.reader import parse_manifest
from tests.training_lab import Lab, StopAt, digest, metrics

RECIPE = (
    "objective={use='codeword', context='token', self_conditioning=0.9, token_posterior=true}",
    "train.max_steps=8",
    "train.validate_every=1",
    "train.lr=3e-3",
)
FOUR = (*RECIPE, "teacher.steps=4")


@pytest.fixture
def model(lab: Lab) -> Path:
    """The teacher."""
    lab.train("teacher", *RECIPE, "train.seed=7")
    return lab.home / "teacher" / "best_model.pth"


@pytest.mark.slow
def test_distillation_lowers_training_and_validation_loss(lab: Lab, model: Path) -> None:
    lab.train("run", *FOUR, "train.max_steps=40", "train.warmup_steps=0", initial=model, teacher=model)
    lines = metrics(lab.home / "run")
    losses = [line["loss"] for line in lines if "loss" in line]
    measured = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert measured[-1] < measured[0]
    assert "teacher: tiny, 8 steps on text" in lab.output()


def test_a_student_with_the_weights_and_steps_of_its_teacher_does_not_change(lab: Lab, model: Path) -> None:
    lab.train("run", *RECIPE, "teacher.steps=2", "train.ema=[]", initial=model, teacher=model)
    first, *_ = metrics(lab.home / "run")
    assert first["loss"] < 1e-10
    assert first["grad_norm"] < 1e-4


def test_a_student_can_be_sampled_in_any_number_of_steps_and_with_any_sampler(lab: Lab, model: Path) -> None:
    lab.train("run", *FOUR, initial=model, teacher=model)
    for sampler in ('{use="euler", steps=3}', '{use="sde", steps=5}'):
        pipeline = load_pipeline(lab.home / "run" / "best_model.pth", overrides=[f"sampler={sampler}"])
        assert len(pipeline.generate(range(2))) == 2
    with pytest.raises(ManifestError, match="multiple"):
        lab.train("other", *RECIPE, "teacher.steps=3", initial=model, teacher=model)


def test_a_resumed_distillation_equals_an_uninterrupted_one_and_uses_the_kept_teacher(lab: Lab, model: Path) -> None:
    lab.train("whole", *FOUR, initial=model, teacher=model)
    with pytest.raises(Stopped):
        lab.train("parts", *FOUR, initial=model, teacher=model, plugins=(StopAt(5),))
    shutil.rmtree(model.parent)
    lab.train("parts", *FOUR, resume="auto")
    whole, parts = (lab.home / name / "checkpoint_epoch_2.pth" for name in ("whole", "parts"))
    assert digest(whole) == digest(parts)
    assert load_checkpoint(parts).data == load_checkpoint(whole).data
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")


def test_accumulated_distillation_equals_a_whole_batch(lab: Lab, model: Path) -> None:
    once = (*FOUR, "train.max_steps=1")
    lab.train("whole", *once, initial=model, teacher=model)
    lab.train("parts", *once, "train.accumulate=3", initial=model, teacher=model)
    whole, parts = (metrics(lab.home / name)[0] for name in ("whole", "parts"))
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def test_the_run_folder_keeps_the_teacher_with_its_averaged_weights(lab: Lab, model: Path) -> None:
    lab.train("run", *FOUR, "train.max_steps=1", teacher=model)
    kept = load_pipeline(lab.home / "run" / "teacher" / "model.safetensors")
    for name, value in open_model(model).weights().items():
        assert kept.network.state_dict()[name].equal(value)


def test_the_student_learns_without_its_settings_of_sampling(lab: Lab, model: Path) -> None:
    for name, more in (("plain", ()), ("sampled", ("objective.temperature=0.5", "objective.evidence=0.3"))):
        lab.train(name, *FOUR, "train.max_steps=2", *more, teacher=model)
    assert metrics(lab.home / "sampled") == metrics(lab.home / "plain")


@pytest.mark.parametrize("setting", ["temperature=0.2", "evidence=0.2"])
def test_the_teacher_can_sample_in_another_way(lab: Lab, model: Path, setting: str) -> None:
    once = (*FOUR, "train.max_steps=1")
    lab.train("changed", *once, f"teacher.{setting}", initial=model, teacher=model)
    lab.train("plain", *once, initial=model, teacher=model)
    changed, plain = (metrics(lab.home / name)[0]["loss"] for name in ("changed", "plain"))
    assert changed != pytest.approx(plain, rel=0.1)


def test_a_teacher_can_have_another_size(lab: Lab, model: Path) -> None:
    assert lab.train("run", *FOUR, "backbone.embed_dim=32", "train.max_steps=1", teacher=model).step == 1


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("codec.order=gray", "codec.order"),
        ("backbone={use='jit', image_size=8, patch_size=4, embed_dim=16, num_heads=1}", "backbone.patch_size"),
        ("schedule={use='flow', noise_scale=2.0}", "schedule"),
        ("schedule.use=cosine", "schedule"),
    ],
)
def test_a_teacher_with_other_images_or_noise_is_refused(lab: Lab, model: Path, override: str, field: str) -> None:
    with pytest.raises(ManifestError) as caught:
        lab.train("run", *FOUR, override, teacher=model)
    assert caught.value.problems[0].field == field
    assert not (lab.home / "run" / "manifest.toml").exists()


def test_a_teacher_can_have_another_time_grid(lab: Lab, model: Path) -> None:
    assert lab.train("run", *FOUR, "train.max_steps=1", "schedule={use='flow', std=0.5}", teacher=model).step == 1


def test_a_temperature_for_an_objective_without_one_is_a_manifest_error(lab: Lab) -> None:
    lab.train("flow", "train.max_steps=1")
    with pytest.raises(ManifestError, match=r"teacher\.temperature: found 0\.5; expected nothing: "):
        lab.train("run", "teacher.temperature=0.5", "teacher.steps=4", teacher=lab.home / "flow" / "best_model.pth")


def test_a_manifest_with_a_teacher_requires_the_option(lab: Lab) -> None:
    with pytest.raises(UsageError, match="--teacher"):
        lab.train("run", *FOUR)


def test_a_replaced_or_missing_teacher_in_the_run_folder_is_an_error(lab: Lab, model: Path) -> None:
    with pytest.raises(Stopped):
        lab.train("run", *FOUR, teacher=model, plugins=(StopAt(3),))
    lab.train("other", *RECIPE, "train.seed=8")
    lab.train("swapped", *FOUR, "train.max_steps=1", teacher=lab.home / "other" / "best_model.pth")
    kept = lab.home / "run" / "teacher"
    shutil.rmtree(kept)
    shutil.copytree(lab.home / "swapped" / "teacher", kept)
    with pytest.raises(RefusedError, match="the teacher that the run began with"):
        lab.train("run", *FOUR, resume="auto")
    shutil.rmtree(kept)
    with pytest.raises(InputError, match=r"teacher/model\.safetensors"):
        lab.train("run", *FOUR, resume="auto")


def test_overwriting_a_run_deletes_its_teacher(lab: Lab, model: Path) -> None:
    lab.train("run", *FOUR, "train.max_steps=1", teacher=model)
    lab.train("run", *RECIPE, "train.max_steps=1", overwrite=True)
    assert not (lab.home / "run" / "teacher").exists()


def test_a_distillation_step_that_is_not_finite_names_no_windows(lab: Lab, model: Path) -> None:
    checkpoint = load_checkpoint(model)
    weights = {name: value * 1e30 for name, value in checkpoint.model_state_dict.items()}
    assert all(torch.isfinite(value).all() for value in weights.values())
    wild = lab.home / "wild.pth"
    save_checkpoint(wild, replace(checkpoint, model_state_dict=weights, ema_state_dict={}))
    with pytest.raises(DivergedError) as caught:
        lab.train("run", *FOUR, teacher=wild)
    assert "windows" not in str(caught.value)
    assert json.loads((lab.home / "run" / "diverged_step_1.json").read_text())["starts"] == []


def test_the_manifest_of_the_run_has_the_teacher_settings(lab: Lab, model: Path) -> None:
    lab.train("run", *FOUR, "train.max_steps=1", teacher=model)
    manifest = parse_manifest((lab.home / "run" / "manifest.toml").read_text(), "manifest.toml")
    assert manifest.teacher is not None
    assert (manifest.teacher.steps, manifest.teacher.temperature) == (4, None)
