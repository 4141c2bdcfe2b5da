"""A run that writes its checkpoints as folders while it goes on equals one that writes files, also after kills and full disks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from jitkit import hookimpl
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.run_index import read_index
from jitkit.checkpoints.shard_index import INDEX
from jitkit.errors import ResourceError, Stopped
from jitkit.storage import faults
from jitkit.storage.atomic import SUFFIX
from jitkit.training import saver
from jitkit.training.run_folder import RunFolder
from tests.training_lab import Lab, StopAt, cases, digest, metrics, uninterrupted

FOLDERS = ("parallel.checkpoint=shards", "train.keep=2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run that writes files."""
    return uninterrupted(tmp_path_factory.mktemp("whole"), "train.keep=2")


def step_folder(run: Path, step: int) -> Path:
    return run / f"checkpoint_step_{step:08d}"


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir() if path.name.startswith("checkpoint"))


def assert_equal(run: Path, whole: Path) -> None:
    assert checkpoints(run) == [step_folder(run, step).name for step in (11, 16)]
    for epoch, step in ((2, 11), (3, 16)):
        assert digest(step_folder(run, step)) == digest(whole / f"checkpoint_epoch_{epoch}.pth")
    assert digest(run / "best_model.pth") == digest(whole / "best_model.pth")
    assert metrics(run) == metrics(whole)
    index = read_index(run)
    assert index is not None
    assert {name for name, file in index.named("checkpoint").items() if file.is_complete} == set(checkpoints(run))
    assert not list(run.glob(f".*{SUFFIX}"))


class Heard:
    """A plugin that notes which checkpoints it has heard of, each of which must be complete."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    @hookimpl
    def jitkit_checkpoint_saved(self, path: Path, step: int) -> None:
        assert load_checkpoint(path).step == step
        if path.suffix != ".pth":
            self.steps.append(step)


def test_a_run_that_writes_folders_equals_one_that_writes_files(lab: Lab, whole: Path) -> None:
    heard = Heard()
    lab.train("run", *FOLDERS, plugins=(heard,))
    assert_equal(lab.home / "run", whole)
    assert heard.steps == [6, 11, 16]


def test_a_signal_saves_a_folder_and_the_run_goes_on_from_it(lab: Lab, whole: Path) -> None:
    for step in (6, 8):
        with pytest.raises(Stopped, match=rf"stopped after step {step}; saved .*/checkpoint_step_0000000{step} "):
            lab.train("run", *FOLDERS, resume="auto", plugins=(StopAt(step),))
        assert load_checkpoint(step_folder(lab.home / "run", step)).step == step
    lab.train("run", *FOLDERS, resume="auto")
    assert_equal(lab.home / "run", whole)


def test_files_and_folders_can_follow_each_other(lab: Lab, whole: Path) -> None:
    run = lab.home / "run"
    with pytest.raises(Stopped):
        lab.train("run", *FOLDERS, plugins=(StopAt(8),))
    with pytest.raises(Stopped):
        lab.train("run", "train.keep=2", resume="auto", plugins=(StopAt(13),))
    assert checkpoints(run) == ["checkpoint_epoch_2.pth", "checkpoint_epoch_3.pth"]
    lab.train("run", *FOLDERS, resume="auto")
    assert digest(step_folder(run, 16)) == digest(whole / "checkpoint_epoch_3.pth")
    assert metrics(run) == metrics(whole)


def test_a_large_state_of_one_process_is_still_a_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saver, "LARGE", 0)
    lab.train("run", "train.max_steps=6")
    assert checkpoints(lab.home / "run") == ["checkpoint_epoch_1.pth"]


NAME = "checkpoint_step_00000011"
KILLS = [
    "shard-00000.safetensors:write:3",
    "rest.safetensors:before-fsync:2",
    f"{INDEX}:before-replace:2",
    f"{INDEX}:after-replace:2",
    f"{NAME}:before-replace",
    f"{NAME}:after-replace",
    "best_model.pth:before-replace:2",
    "checkpoint_step_00000006:delete",
]
QUICK_KILLS = {KILLS[0], KILLS[3], KILLS[4], KILLS[7]}  # one of each kind


@pytest.mark.parametrize("fault", cases(dict(zip(KILLS, KILLS, strict=True)), QUICK_KILLS))
def test_a_run_killed_while_it_saves_goes_on_as_if_it_had_not_been(lab: Lab, whole: Path, fault: str) -> None:
    child = os.fork()
    if child == 0:
        os.environ[faults.VARIABLE] = fault
        try:
            lab.train("run", *FOLDERS)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    lab.train("run", *FOLDERS, resume="auto")
    assert_equal(lab.home / "run", whole)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shard-00000.safetensors", "ENOSPC"),
        (INDEX, "EIO"),
        pytest.param("shard-00000.safetensors", "EIO", marks=pytest.mark.slow),
        pytest.param(INDEX, "ENOSPC", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_an_error_of_the_next_step_and_loses_nothing(
    lab: Lab, whole: Path, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AfterStep7:
        @hookimpl
        def jitkit_step_finished(self, step: int) -> None:
            if step == 7:
                while not step_folder(lab.home / "run", 6).is_dir():
                    time.sleep(0.01)
                monkeypatch.setenv(faults.VARIABLE, f"{name}:write:{reason}")
            if step == 12:
                time.sleep(0.5)  # the save of step 11 has failed by then

    with pytest.raises(ResourceError, match=rf"{NAME}.*{name}: found .*Kept: .*\.pth; --resume auto") as caught:
        lab.train("run", *FOLDERS, plugins=(AfterStep7(),))
    assert caught.value.exit_code == 6
    run = lab.home / "run"
    kept = load_checkpoint(Path(caught.value.problems[0].hint.partition("Kept: ")[2].partition(";")[0]))
    assert kept.step in {11, 12}, "as a file, which may work"
    assert not list(run.glob(f".*{SUFFIX}"))
    monkeypatch.delenv(faults.VARIABLE)
    lab.output()
    lab.train("run", *FOLDERS, resume="auto")
    assert f"from step {kept.step} to 16" in lab.output()
    assert metrics(run) == metrics(whole)
    assert digest(step_folder(run, 16)) == digest(whole / "checkpoint_epoch_3.pth")


class Slow:
    """A plugin that lets the disk be slow, and changes nothing else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active = self.most = 0
        from jitkit.checkpoints import save_shards

        write = save_shards.write_shard

        def slow(path: Path, parts: Mapping[str, object]) -> object:
            self.active += 1
            self.most = max(self.most, self.active)
            time.sleep(0.3)
            self.active -= 1
            return write(path, parts)  # type: ignore[arg-type]

        monkeypatch.setattr(save_shards, "write_shard", slow)


def test_steps_go_on_while_a_slow_disk_writes(lab: Lab, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights change meanwhile, the next save waits for this one, and old checkpoints are deleted only after it."""
    slow = Slow(monkeypatch)
    seen: dict[int, list[str]] = {}

    class Look:
        @hookimpl
        def jitkit_step_finished(self, step: int) -> None:
            folder = RunFolder(lab.home / "run")
            seen[step] = [path.name for path in folder.checkpoints() if path.exists()]

    lab.train("run", *FOLDERS, plugins=(Look(),))
    assert_equal(lab.home / "run", whole)
    assert slow.most == 1
    assert seen[7] == [], "the folder of step 6 is not complete yet"
    assert seen[12] == ["checkpoint_step_00000006"]
