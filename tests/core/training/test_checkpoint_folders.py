"""A run treats a checkpoint folder as one file: it resumes from it, keeps, sets aside, and deletes it, and names a damaged one."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jitkit.checkpoints.check import checkpoints_at, verified
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import find_model, open_model
from jitkit.checkpoints.run_index import read_index
from jitkit.checkpoints.shard_index import INDEX, is_checkpoint_folder
from jitkit.errors import InputError, Stopped, UsageError
from jitkit.storage import faults
from jitkit.storage.atomic import SUFFIX
from jitkit.training.retention import prune_checkpoints
from jitkit.training.run_folder import RunFolder
from tests.training_lab import Lab, StopAt, digest, metrics

NAME = "checkpoint_step_00000008"


def save(run: Path, checkpoint: Path, **changes: int) -> Path:
    """Save a copy of a checkpoint as a folder of the run."""
    folder = RunFolder(run)
    pending = folder.begin_save(replace(load_checkpoint(checkpoint), **changes))
    pending.finish()
    folder.finish_save(pending, print)
    return pending.folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after step 8. Its second checkpoint is a folder."""
    lab = Lab(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JITKIT_CACHE", str(lab.home / "cache"))
        patch.setattr("torch.get_num_threads", lambda: 1)
        with pytest.raises(Stopped):
            lab.train("run", plugins=(StopAt(8),))
    run = lab.home / "run"
    save(run, run / "checkpoint_epoch_2.pth")
    (run / "checkpoint_epoch_2.pth").unlink()
    RunFolder(run).refresh(print)
    return run


@pytest.fixture
def run(lab: Lab, trained: Path) -> Path:
    return Path(shutil.copytree(trained, lab.home / "run"))


def checkpoints(run: Path) -> list[str]:
    index = read_index(run)
    assert index is not None
    return list(index.named("checkpoint"))


def test_a_run_continues_from_a_folder_as_from_a_file(lab: Lab, run: Path) -> None:
    lab.train("whole")
    lab.train("run", resume="auto")
    assert "from step 8 to 16" in lab.output()
    assert metrics(run) == metrics(lab.home / "whole")
    assert digest(run / "best_model.pth") == digest(lab.home / "whole" / "best_model.pth")
    assert checkpoints(run) == ["checkpoint_epoch_3.pth", "checkpoint_epoch_2.pth", NAME, "checkpoint_epoch_1.pth"]


@pytest.mark.parametrize("resume", [f"run/{NAME}", "run"])
def test_a_folder_can_be_named_to_continue_in_another_run(lab: Lab, run: Path, resume: str) -> None:
    assert lab.train("other", "train.max_steps=9", resume=lab.home / resume).step == 9
    assert "from step 8 to 9" in lab.output()


def test_a_folder_is_opened_wherever_a_model_is(run: Path) -> None:
    save_checkpoint(run / "packed.pth", load_checkpoint(run / NAME))
    model, packed = open_model(run / NAME), open_model(run / "packed.pth")
    assert str(model.pipeline().generate(seeds=[1])) == str(packed.pipeline().generate(seeds=[1]))
    assert model.own_folder == run
    assert len(model.sha256) == 64
    (run / "best_model.pth").unlink()
    assert find_model(run) == run / NAME


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda folder: (folder / INDEX).unlink(), r"found no index\.json"),
    "flipped index": (lambda folder: flip(folder / INDEX), r"index\.json"),
    "no shard": (
        lambda folder: (folder / "shard-00000.safetensors").unlink(),
        r"shard-00000\.safetensors: found no such",
    ),
    "truncated": (lambda folder: os.truncate(folder / "rest.safetensors", 100), r"rest\.safetensors: found 100 bytes"),
    "flipped": (lambda folder: flip(folder / "shard-00000.safetensors"), r"shard-00000\.safetensors: found content"),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(("damage", "found"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_named_and_the_checkpoint_before_it_is_used(
    lab: Lab, run: Path, damage: Callable[[Path], object], found: str
) -> None:
    damage(run / NAME)
    with pytest.raises(InputError, match=rf"{NAME}.*{found}"):
        open_model(run / NAME)
    assert lab.train("run", "train.max_steps=8", resume="auto").step == 8
    output = " ".join(lab.output().split())
    assert f"run/{NAME}" in output.partition("warning: ")[2]
    assert "continuing from an older one, checkpoint_epoch_1.pth (step 6)" in output
    assert (run / "set-aside-1" / NAME).is_dir(), "it may still be of use"
    assert not (run / NAME).exists()
    with pytest.raises(InputError, match=found):
        lab.train("other", resume=run / "set-aside-1" / NAME)


def test_the_latest_folders_are_kept_and_damaged_ones_do_not_count(run: Path) -> None:
    for step in (9, 10, 11):
        save(run, run / NAME, step=step)
    (run / "checkpoint_step_00000010" / INDEX).unlink()
    prune_checkpoints(RunFolder(run), 2, print)
    kept = ["checkpoint_step_00000011", "checkpoint_step_00000010", "checkpoint_step_00000009"]
    assert checkpoints(run) == kept
    assert sorted(path.name for path in run.iterdir() if path.name.startswith("checkpoint")) == kept[::-1]


def test_a_save_of_the_same_step_replaces_the_earlier_one(run: Path) -> None:
    again = save(run, run / NAME, epoch=7)
    assert checkpoints(run) == [again.name, "checkpoint_epoch_1.pth"]
    assert load_checkpoint(again).epoch == 7
    assert not (run / NAME).exists()


def test_a_folder_of_the_user_is_not_replaced_or_deleted(lab: Lab, run: Path) -> None:
    shutil.copytree(run / NAME, run / "checkpoint_step_00000009")
    save(run, run / NAME, step=9)
    assert checkpoints(run)[0] == "checkpoint_step_00000009_2"
    lab.train("run", "train.max_steps=6", overwrite=True)
    assert is_checkpoint_folder(run / "checkpoint_step_00000009")
    assert not (run / NAME).exists()
    assert not (run / "checkpoint_step_00000009_2").exists()


def test_a_run_without_its_index_finds_its_folders(lab: Lab, run: Path) -> None:
    (run / "run_index.json").unlink()
    lab.train("run", "train.max_steps=9", resume="auto")
    assert "from step 8 to 9" in lab.output()
    assert NAME in checkpoints(run)


def test_going_back_sets_a_folder_aside(lab: Lab, run: Path) -> None:
    before = digest(run / NAME)
    lab.train("run", "train.max_steps=8", resume=run / "checkpoint_epoch_1.pth")
    assert digest(run / "set-aside-1" / NAME) == before
    with pytest.raises(UsageError, match="a run in this folder"):
        lab.train("run", resume=run / "set-aside-1" / NAME)
    assert lab.train("other", "train.max_steps=9", resume=run / "set-aside-1" / NAME).step == 9


KILLS = [
    "run_index.json:before-replace:1",
    "shard-00000.safetensors:write:2",
    f"{INDEX}:before-replace",
    "checkpoint_step_00000009:before-replace",
    "checkpoint_step_00000009:after-replace",
    "run_index.json:before-replace:2",
    "run_index.json:after-replace:2",
    f"{NAME}:delete",
]


@pytest.mark.parametrize("fault", KILLS)
def test_a_kill_at_any_point_of_a_save_is_noted_and_leaves_a_checkpoint_to_go_on_from(
    lab: Lab, run: Path, fault: str
) -> None:
    child = os.fork()
    if child == 0:
        os.environ[faults.VARIABLE] = fault
        try:
            save(run, run / NAME, step=9)
            prune_checkpoints(RunFolder(run), 1, print)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    is_complete = (run / "checkpoint_step_00000009").exists()
    lab.train("run", "train.max_steps=10", resume="auto")
    output = " ".join(lab.output().split())
    assert ("checkpoint_step_00000009: its save was interrupted" in output) == (
        not is_complete and fault != "run_index.json:before-replace:1"
    )
    assert f"from step {9 if is_complete else 8} to 10" in output
    assert not list(run.glob(f".*{SUFFIX}"))


def test_a_folder_is_deleted_as_a_whole(run: Path) -> None:
    """A kill in the middle leaves a temporary folder, which the next run deletes."""
    (run / NAME).rename(run / f".{NAME}.0123abcd{SUFFIX}")
    (run / f".{NAME}.0123abcd{SUFFIX}" / INDEX).unlink()
    with RunFolder(run).locked():
        assert not list(run.glob(f".*{SUFFIX}"))


def test_all_checkpoints_of_a_run_are_checked(run: Path) -> None:
    steps = {path.name: verified(path)[0].step for path in checkpoints_at(run)}
    assert steps == {NAME: 8, "checkpoint_epoch_1.pth": 6, "best_model.pth": 6}
    flip(run / NAME / "shard-00000.safetensors")
    with pytest.raises(InputError, match=r"shard-00000\.safetensors"):
        verified(run / NAME)
