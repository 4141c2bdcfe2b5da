"""A time budget becomes a number of steps, and changes nothing else."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jitkit.checkpoints.format import load_checkpoint
from jitkit.errors import ManifestError, Stopped
from jitkit.execution.config import ExecutionConfig
from jitkit.manifest.reader import parse_manifest
from jitkit.manifest.schema import Train
from jitkit.training.budget import FIRST_VALIDATION, Costs
from tests.training_lab import RECIPE, Lab, StopAt, digest, metrics

MINUTE = 1 / 60  # of a run that takes a second


def recorded(lab: Lab, out: str) -> Train:
    """Return the table `[train]` of a run's manifest."""
    return parse_manifest((lab.home / out / "manifest.toml").read_text(), "manifest.toml").train


@pytest.mark.parametrize("more", [(), ("objective.self_conditioning=0.9", "schedule={use='adaptive'}")])
def test_a_budgeted_run_equals_one_with_as_many_steps(lab: Lab, more: tuple[str, ...]) -> None:
    steps = lab.train("budget", f"train.minutes={MINUTE}", *more).step
    train = recorded(lab, "budget")
    assert (train.max_steps, train.minutes, train.epochs) == (steps, None, None)
    lab.train("steps", f"train.max_steps={steps}", f"train.validate_steps={train.validate_steps}", *more)
    assert metrics(lab.home / "budget") == metrics(lab.home / "steps")
    (name,) = {path.name for path in (lab.home / "budget").glob("checkpoint_*.pth")}
    assert digest(lab.home / "budget" / name) == digest(lab.home / "steps" / name)


@pytest.mark.slow
def test_the_budget_is_kept_and_announced(lab: Lab) -> None:
    started = time.monotonic()
    result = lab.train("run", "train.minutes=0.1")
    assert time.monotonic() - started < 20, "6 seconds, on a busy machine"
    assert result.step > 20
    assert f"0.1 minutes are {result.step:,} steps of 0.0" in lab.output()


def test_a_budget_of_a_few_steps_is_a_warning(lab: Lab) -> None:
    result = lab.train("run", "train.minutes=1e-6")
    steps = "1 step" if result.step == 1 else f"{result.step} steps"
    assert result.step < 20
    assert (
        f"jitkit: warning: a model learns almost nothing in {steps}: the machine is busy or slow; give" in lab.output()
    )
    lab.train("whole text", "train.minutes=1", "train.epochs=1")  # the text is short, not the time
    assert "almost nothing" not in lab.output()


@pytest.mark.parametrize(
    "again",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("train.minutes=0.05",), marks=pytest.mark.slow),
        ("train.minutes=4",),
    ],
)
def test_a_resumed_run_keeps_its_steps_and_equals_an_uninterrupted_one(lab: Lab, again: tuple[str, ...]) -> None:
    with pytest.raises(Stopped):
        lab.train("parts", "train.minutes=0.05", plugins=(StopAt(1),))
    steps = recorded(lab, "parts").max_steps
    lab.output()
    assert lab.train("parts", *again, resume="auto").step == steps
    assert f"the run keeps the {steps:,} steps computed from 0.05 minutes when it began" in lab.output()
    lab.train("whole", f"train.max_steps={steps}", f"train.validate_steps={recorded(lab, 'parts').validate_steps}")
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")
    assert load_checkpoint(lab.home / "parts" / "best_model.pth").data["minutes"] == "0.05 minutes"


def test_minutes_do_not_change_a_run_that_has_begun_but_steps_do(lab: Lab) -> None:
    lab.train("run", "train.max_steps=8")
    lab.output()
    assert lab.train("run", "train.minutes=4", resume="auto").step == 8
    assert "minutes do not change the length of a run that has begun" in lab.output()
    assert lab.train("run", "train.max_steps=10", resume="auto").step == 10


def test_a_budgeted_run_can_become_longer(lab: Lab) -> None:
    steps = lab.train("run", f"train.minutes={MINUTE}").step
    assert lab.train("run", f"train.max_steps={steps + 3}", resume="auto").step == steps + 3


def test_epochs_limit_a_budget(lab: Lab) -> None:
    assert lab.train("run", "train.minutes=4", "train.epochs=2").step == 11


@pytest.mark.parametrize("same_length", [True, False])
def test_auto_is_decided_once_on_a_device(same_length: bool) -> None:
    """The decision about precision is a measurement, which may differ on a busy machine."""
    auto, cpu = Train(max_steps=1), torch.device("cpu")
    now, then = ExecutionConfig(cpu), ExecutionConfig(cpu, bf16=True, compiled=True).conditions()
    resumed = now.resumed(auto, then, same_length=same_length)
    assert (resumed.bf16, resumed.compiled) == (True, same_length)
    assert now.resumed(Train(max_steps=1, precision="fp32", compile="off"), then, same_length=True) == now
    assert now.resumed(auto, then | {"device": "cuda NVIDIA H200"}, same_length=True) == now


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.minutes=0",), "train.minutes: found 0; expected greater than 0"),
        (("train.minutes=-3",), "train.minutes: found -3; expected greater than 0"),
        (("train.minutes=nan",), "train.minutes: found nan; expected a finite number"),
        (("train.minutes=1e9",), "train.minutes: found 1000000000.0; expected less than or equal to 525600"),
        (("train.minutes=soon",), "train.minutes: found 'soon'; expected a number"),
        (("train.minutes=8", "train.max_steps=9"), "train.minutes: found max_steps as well; expected one of the two"),
    ],
)
def test_a_budget_that_makes_no_sense_is_one_line(settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(RECIPE, "tiny.toml", settings)
    assert str(caught.value).startswith(f"--set: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "override", "length"),
    [
        ("max_steps = 9", "train.minutes=8", {"minutes": 8}),
        ("minutes = 8", "train.max_steps=9", {"max_steps": 9}),
        ("minutes = 8", "train.epochs=2", {"epochs": 2}),
        ("max_steps = 9", "train.epochs=2", {"epochs": 2}),
        ("minutes = 8\nepochs = 3", "train.lr=1e-3", {"minutes": 8, "epochs": 3}),
    ],
)
def test_a_length_on_the_command_line_replaces_that_of_the_manifest(
    table: str, override: str, length: dict[str, Any]
) -> None:
    text = RECIPE.replace("epochs = 3", table)
    assert table in text
    train = parse_manifest(text, "tiny.toml", (override,)).train
    assert train.model_dump(include={"epochs", "max_steps", "minutes"}, exclude_none=True) == length


@given(
    step=st.floats(0.001, 300),
    validation=st.floats(0, 500),
    available=st.floats(1, 1e6),
)
def test_steps_and_validations_fit_into_the_time(step: float, validation: float, available: float) -> None:
    costs = Costs(step, validation)
    steps, interval = costs.fit(available)
    validations = math.ceil(steps / interval)
    assert steps == 1 or steps * step + validations * validation <= available * (1 + 1e-9)
    assert steps >= 1
    assert validations <= 21
    assert (steps + 1) * step + (validations + 1) * validation >= available - max(step, validation) - 1e-9 * available


def test_the_first_sample_of_a_short_run_comes_early() -> None:
    """Two cores without AVX-512: a step of `jit-nano` takes 0.95 s, and a validation with its samples perhaps 8 s."""
    costs = Costs(step=0.95, validation=8)
    steps, interval = costs.fit(400)
    assert interval * 0.95 + 8 < FIRST_VALIDATION + 8 + 1 < 100
    assert steps > 350
