"""The continued run equals the uninterrupted one, bit for bit."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import load_pipeline
from jitkit.errors import InputError, ManifestError, Stopped, UsageError
from jitkit.protocols import LearnedSchedule
from jitkit.tokenization.ranks import format_ranks
from tests.training_lab import Lab, StopAt, cases, digest, metrics, uninterrupted

VARIANTS = {
    "bf16": ("train.precision=bf16",),
    "accumulated": ("train.accumulate=2",),
    "two averages": ("train.ema=[0.9, 0.99]",),
    "no average": ("train.ema=[]",),
    "muon": ("train.optimizer=muon",),
    "guidance": ("guidance.learned=4.0",),
    "adaptive schedule": ("schedule={use='adaptive',memory=5}", "train.accumulate=2"),
    "gumbel schedule": (
        "schedule={use='gumbel',memory=5,path='cosine'}",
        "objective={use='codeword',context='codeword'}",
    ),
    "without inputs": ("objective.self_conditioning=0.0", "objective.known=0.0"),
}
QUICK = {"two averages", "muon", "adaptive schedule"}
STEPS = 16  # 3 epochs of 31 windows in batches of 6: epochs end with steps 6, 11 and 16, two of them inside a batch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    return uninterrupted(tmp_path_factory.mktemp("whole"))


def same(one: Path, other: Path) -> None:
    """Assert that two runs have equal metrics and final states."""
    assert load_checkpoint(one / "checkpoint_epoch_3.pth").step == STEPS
    for name in ("checkpoint_epoch_3.pth", "best_model.pth"):
        assert digest(one / name) == digest(other / name)
    assert metrics(one) == metrics(other)


@pytest.mark.parametrize(
    "step", cases({f"{step}": step for step in (0, 1, 5, 6, 7, STEPS - 1, STEPS)}, quick={"0", "6", "7"})
)
def test_a_resumed_run_equals_an_uninterrupted_one(lab: Lab, whole: Path, step: int) -> None:
    with pytest.raises(Stopped):
        lab.train("parts", plugins=(StopAt(step),))
    epoch = sum(end < step for end in (0, 6, 11))
    assert load_checkpoint(lab.home / "parts" / f"checkpoint_epoch_{epoch}.pth").step == step
    result = lab.train("parts", resume="auto")
    assert result.step == STEPS
    same(whole, lab.home / "parts")


@pytest.mark.parametrize("overrides", cases(VARIANTS, QUICK))
def test_every_kind_of_training_resumes_exactly(lab: Lab, overrides: tuple[str, ...]) -> None:
    lab.train("whole", *overrides)
    with pytest.raises(Stopped):
        lab.train("parts", *overrides, plugins=(StopAt(11),))
    lab.train("parts", *overrides, resume="auto")
    same(lab.home / "whole", lab.home / "parts")


def test_a_run_can_be_stopped_many_times(lab: Lab, whole: Path) -> None:
    for step in (3, 6, 12, 13):
        with pytest.raises(Stopped):
            lab.train("parts", plugins=(StopAt(step, signal.SIGINT),), resume="auto")
    lab.train("parts", resume="auto")
    same(whole, lab.home / "parts")


def test_resuming_from_an_older_checkpoint_gives_the_same_end(lab: Lab, whole: Path) -> None:
    lab.train("again")
    for epoch in (1, 2, 3):
        lab.train("again", resume=lab.home / "again" / f"checkpoint_epoch_{epoch}.pth")
        same(whole, lab.home / "again")


def test_equal_seeds_give_equal_runs_and_different_seeds_do_not(lab: Lab, whole: Path) -> None:
    lab.train("again")
    same(whole, lab.home / "again")
    lab.train("other", "train.seed=43")
    assert metrics(lab.home / "other") != metrics(whole)


def test_a_run_resumes_from_its_folder(lab: Lab, whole: Path) -> None:
    with pytest.raises(Stopped):
        lab.train("parts", plugins=(StopAt(7),))
    lab.train("parts", resume=lab.home / "parts")
    same(lab.home / "parts", whole)


def test_a_resumed_run_can_be_longer(lab: Lab) -> None:
    lab.train("short", "train.max_steps=5", "train.decay=constant")
    lab.train("short", "train.max_steps=8", "train.decay=constant", resume="auto")
    lab.train("long", "train.max_steps=8", "train.decay=constant")
    short, long = (load_checkpoint(lab.home / run / "checkpoint_epoch_2.pth") for run in ("short", "long"))
    for name, value in long.model_state_dict.items():
        assert short.model_state_dict[name].equal(value)


@pytest.mark.parametrize(("key", "length"), [("max_steps", ("train.max_steps=3",)), ("epochs", ("train.epochs=1",))])
def test_a_resumed_run_cannot_be_shorter_than_its_checkpoint(lab: Lab, key: str, length: tuple[str, ...]) -> None:
    first = lab.train("run", "train.epochs=3").folder
    before = sorted((path.name, path.read_bytes()) for path in first.iterdir() if path.is_file())
    with pytest.raises(
        ManifestError, match=rf"train\.{key}: found a run of \d+ steps; expected at least the \d+ steps that"
    ) as caught:
        lab.train("run", *length, resume="auto")
    assert caught.value.exit_code == 3
    assert sorted((path.name, path.read_bytes()) for path in first.iterdir() if path.is_file()) == before


def test_a_missing_checkpoint_does_not_start_a_new_run(lab: Lab) -> None:
    with pytest.raises(InputError, match=r"nope.pth: found no such file"):
        lab.train("run", resume=lab.home / "nope.pth")
    assert not (lab.home / "run" / "metrics.jsonl").exists()


def test_weights_without_an_optimizer_cannot_be_resumed(lab: Lab) -> None:
    lab.train("run", "train.max_steps=2")
    with pytest.raises(InputError, match=r"best_model.pth: optimizer_state_dict: found weights without an optimizer"):
        lab.train("run", "train.max_steps=2", resume=lab.home / "run" / "best_model.pth")


def test_a_learned_schedule_is_saved_and_loaded(lab: Lab) -> None:
    lab.train("run", "schedule={use='adaptive',memory=5}", "train.max_steps=5")
    path = lab.home / "run" / "best_model.pth"
    state = load_checkpoint(path).schedule_state_dict
    assert not state["seen"].equal(state["start"])
    schedule = load_pipeline(path).denoiser.schedule
    assert isinstance(schedule, LearnedSchedule)
    assert all(value.equal(state[name]) for name, value in schedule.state_dict().items())


def test_a_missing_or_wrong_schedule_state_is_an_error(lab: Lab) -> None:
    recipe = ("schedule={use='gumbel'}", "train.max_steps=2")
    lab.train("run", *recipe)
    path = lab.home / "run" / "checkpoint_epoch_1.pth"
    whole = load_checkpoint(path)
    wrong = {**whole.schedule_state_dict, "seen": torch.full((64,), float("nan"), dtype=torch.float64)}
    for state, message in (
        ({}, "schedule_state_dict: found nothing"),
        (wrong, "schedule_state_dict.seen: found values"),
    ):
        save_checkpoint(path, replace(whole, schedule_state_dict=state))
        for read in (lambda: lab.train("run", *recipe, resume=path), lambda: load_pipeline(path)):
            with pytest.raises(InputError, match=rf"checkpoint_epoch_1.pth: {message}"):
                read()


def test_auto_starts_a_new_run_if_there_is_none_and_notes_it(lab: Lab) -> None:
    assert lab.train("run", "train.max_steps=2", resume="auto").step == 2
    assert f"jitkit: warning: {lab.home / 'run'}: no checkpoint to continue from; starting a new run" in lab.output()
    assert lab.train("run", "train.max_steps=2", resume="auto").step == 2
    assert "is already finished, at step 2; more steps continue it: --set train.max_steps=4" in lab.output()


def test_auto_names_a_damaged_checkpoint_and_uses_an_older_one(lab: Lab, whole: Path) -> None:
    lab.train("run")
    newest = lab.home / "run" / "checkpoint_epoch_3.pth"
    newest.write_bytes(newest.read_bytes()[:-100])
    lab.output()
    lab.train("run", resume="auto")
    output = lab.output()
    assert "checkpoint_epoch_3.pth: found a truncated archive" in output
    assert "checkpoint_epoch_2.pth (step 11)" in output
    same(whole, lab.home / "run")


def test_auto_does_not_start_over_if_all_checkpoints_are_damaged(lab: Lab) -> None:
    lab.train("run")
    for path in (lab.home / "run").glob("checkpoint_*.pth"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="an empty file"):
        lab.train("run", resume="auto")


def test_every_changed_key_of_a_recipe_is_named(lab: Lab) -> None:
    lab.train("run", "train.max_steps=2")
    with pytest.raises(ManifestError) as caught:
        lab.train("run", "train.max_steps=2", "train.lr=0.5", "backbone.depth=2", resume="auto")
    fields = {problem.field: problem for problem in caught.value.problems}
    assert set(fields) == {"train.lr", "backbone.depth"}
    assert (fields["train.lr"].found, fields["train.lr"].expected[:4]) == ("0.5", "0.01")


def test_another_text_is_refused_but_the_text_can_move(lab: Lab) -> None:
    lab.train("run", "train.max_steps=2")
    moved = lab.home / "moved.txt"
    moved.write_text(lab.text.read_text())
    lab.train("run", "train.max_steps=3", resume="auto", data=moved)
    moved.write_text(lab.text.read_text().replace("fox", "cat"))
    with pytest.raises(InputError, match=r"data\.fingerprint"):
        lab.train("run", "train.max_steps=4", resume="auto", data=moved)
    other = lab.home / "other.txt"
    other.write_text(moved.read_text())
    with pytest.raises(ManifestError, match=r"data\.path: .* which is another text"):
        lab.train("run", "train.max_steps=4", resume="auto", data=other)


def test_changed_conditions_are_named(lab: Lab) -> None:
    lab.train("run", "train.max_steps=2")
    path = lab.home / "run" / "checkpoint_epoch_1.pth"
    checkpoint = load_checkpoint(path)
    checkpoint.threads += 1
    checkpoint.versions["torch"] = "2.10.0"
    save_checkpoint(path, checkpoint)
    lab.output()
    lab.train("run", "train.max_steps=3", resume="auto")
    output = lab.output()
    assert "threads 2 -> 1" in output
    assert "torch 2.10.0 ->" in output


def test_a_new_run_does_not_touch_an_existing_one(lab: Lab, tmp_path: Path) -> None:
    lab.train("run", "train.max_steps=2")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UsageError, match="found a run in this folder"):
        lab.train("run", "train.max_steps=4")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert lab.train("run", "train.max_steps=4", overwrite=True).step == 4
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4, 4]


def test_a_changed_vocabulary_is_not_called_a_changed_text(lab: Lab) -> None:
    """Another vocabulary makes other tokens of the same text, and other numbers of windows and steps."""
    file, single = lab.home / "own.tiktoken", [bytes([byte]) for byte in range(256)]
    tokenizer = "tokenizer={use='tiktoken', file='own.tiktoken'}"
    file.write_bytes(format_ranks([*single, b"th"]))
    with pytest.raises(Stopped):
        lab.train("run", tokenizer, plugins=(StopAt(12),))
    file.write_bytes(format_ranks([*single, b"qu"]))
    with pytest.raises(InputError, match=r"^own\.tiktoken: found other content than the run was trained with"):
        lab.train("run", tokenizer, resume="auto")
    file.write_bytes(format_ranks([*single, b"th"]))
    lab.text.write_text(lab.text.read_text()[:200] + "x" * 200)  # too short for the steps that the run has taken
    with pytest.raises(InputError, match=r"data\.fingerprint: found text with fingerprint"):
        lab.train("run", tokenizer, resume="auto")
