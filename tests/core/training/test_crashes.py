"""A kill or a full disk at any point of a run leaves its last complete checkpoint, and the run that goes on equals a whole one."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from jitkit import hookimpl
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.run_index import INDEX, read_index
from jitkit.errors import DivergedError, ManifestError, ResourceError, Stopped
from jitkit.storage import faults
from jitkit.storage.atomic import SUFFIX
from jitkit.training import run_folder
from tests.training_lab import RECIPE, Lab, StopAt, cases, digest, metrics, uninterrupted

STAGES = ("create", "write", "before-fsync", "after-fsync", "before-replace", "after-replace", "folder-fsync")
KILLS = [
    *(f"checkpoint_epoch_2.pth:{stage}" for stage in STAGES),
    *(f"best_model.pth:{stage}:2" for stage in ("create", "before-replace", "after-replace")),
    *(f"{INDEX}:{stage}:{n}" for stage in ("before-replace", "after-replace") for n in (1, 2, 3, 5, 6)),
    "manifest.toml:before-replace",
    "manifest.toml:after-replace",
    "metrics.jsonl:write:9",
    "gallery.json:after-replace:2",
    "checkpoint_epoch_1.pth:delete",
]
QUICK_KILLS = {
    "checkpoint_epoch_2.pth:write",
    "best_model.pth:after-replace:2",
    f"{INDEX}:after-replace:5",
    "manifest.toml:after-replace",
    "metrics.jsonl:write:9",
    "checkpoint_epoch_1.pth:delete",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    return uninterrupted(tmp_path_factory.mktemp("whole"), "train.keep=2")


def kill(lab: Lab, fault: str, **request: object) -> None:
    """Train in a process of its own that kills itself at a point."""
    child = os.fork()
    if child == 0:
        os.environ[faults.VARIABLE] = fault
        try:
            lab.train("run", "train.keep=2", **request)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def assert_equal(run: Path, whole: Path) -> None:
    for name in ("checkpoint_epoch_2.pth", "checkpoint_epoch_3.pth", "best_model.pth"):
        assert digest(run / name) == digest(whole / name), name
    assert metrics(run) == metrics(whole)
    index, expected = read_index(run), read_index(whole)
    assert index is not None
    assert expected is not None
    assert {name: file.step for name, file in index.files.items()} == {
        name: file.step for name, file in expected.files.items()
    }
    assert not list(run.glob(f".*{SUFFIX}"))


@pytest.mark.parametrize("fault", cases(dict(zip(KILLS, KILLS, strict=True)), QUICK_KILLS))
def test_a_run_killed_at_any_point_goes_on_as_if_it_had_not_been(lab: Lab, whole: Path, fault: str) -> None:
    kill(lab, fault)
    lab.train("run", "train.keep=2", resume="auto")
    assert_equal(lab.home / "run", whole)


@pytest.mark.parametrize("stage", [pytest.param("before-replace", marks=pytest.mark.slow), "after-replace"])
@pytest.mark.parametrize("name", ["checkpoint_epoch_3.pth", "best_model.pth", "metrics.jsonl"])
def test_a_kill_while_later_checkpoints_are_set_aside_loses_none(lab: Lab, whole: Path, name: str, stage: str) -> None:
    run = lab.home / "run"
    lab.train("run", "train.keep=2")
    before = {digest(path) for path in run.glob("*.pth")}
    kill(lab, f"{name}:{stage}:1", resume=run / "checkpoint_epoch_2.pth")
    assert {digest(path) for path in run.rglob("*.pth")} >= before
    lab.train("run", "train.keep=2", resume="auto")
    for name in ("checkpoint_epoch_2.pth", "checkpoint_epoch_3.pth", "best_model.pth"):
        assert digest(run / name) == digest(whole / name)


def test_a_kill_while_a_checkpoint_of_the_same_epoch_is_renamed_loses_none(lab: Lab, whole: Path) -> None:
    with pytest.raises(Stopped):
        lab.train("run", "train.keep=2", plugins=(StopAt(8),))
    kill(lab, "checkpoint_epoch_2_step_8.pth:after-replace", resume="auto")
    with pytest.raises(Stopped):
        lab.train("run", "train.keep=2", resume="auto", plugins=(StopAt(9),))
    assert "from step 8 to" in lab.output()
    lab.train("run", "train.keep=2", resume="auto")
    assert metrics(lab.home / "run") == metrics(whole)


FULL = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
WRITTEN = ("checkpoint_epoch_2.pth", "best_model.pth", "metrics.jsonl", INDEX)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param(name, reason, marks=[] if n == m else pytest.mark.slow)  # each of both is in a quick test
        for n, name in enumerate(WRITTEN)
        for m, reason in enumerate(FULL)
    ],
)
def test_a_file_that_cannot_be_written_ends_the_run_with_all_that_was_complete(
    lab: Lab, whole: Path, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AfterStep7:
        @hookimpl
        def jitkit_step_finished(self, step: int) -> None:
            if step == 7:
                monkeypatch.setenv(faults.VARIABLE, f"{name}:write{':1' if name == INDEX else ''}:{reason}")

    with pytest.raises(ResourceError, match=rf"{name}: found {os.strerror(getattr(errno, reason)).lower()}") as caught:
        lab.train("run", "train.keep=2", plugins=(AfterStep7(),))
    assert caught.value.exit_code == 6
    run, problem = lab.home / "run", caught.value.problems[0]
    kept = Path(problem.hint.partition("Kept: ")[2].partition(";")[0])
    assert load_checkpoint(kept).step == {"checkpoint_epoch_2.pth": 6, "metrics.jsonl": 8}.get(name, 11)
    assert load_checkpoint(run / "best_model.pth").step <= load_checkpoint(kept).step
    monkeypatch.delenv(faults.VARIABLE)
    lab.output()
    assert lab.train("run", "train.keep=2", resume="auto").step == 16
    if name == "metrics.jsonl":  # the line that could not be written
        assert "the log ends at step 7" in " ".join(lab.output().split())
        assert [line["step"] for line in metrics(run) if "loss" in line] == [*range(1, 8), *range(9, 17)]
    else:
        assert metrics(run) == metrics(whole)
    assert digest(run / "best_model.pth") == digest(whole / "best_model.pth")
    assert digest(run / "checkpoint_epoch_3.pth") == digest(whole / "checkpoint_epoch_3.pth")


def test_a_write_that_fails_once_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, "checkpoint_epoch_2.pth:before-fsync:1:EIO")
    with pytest.raises(ResourceError, match=r"Kept: .*checkpoint_epoch_2\.pth"):
        lab.train("run")
    assert load_checkpoint(lab.home / "run" / "checkpoint_epoch_2.pth").step == 11


def test_a_full_disk_is_not_a_bug_even_when_the_log_is_closed(lab: Lab) -> None:
    """The buffer of the log still holds the line that did not fit."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Shrink:
        @hookimpl
        def jitkit_step_finished(self, step: int, values: Mapping[str, float]) -> None:
            if step == 3:
                size = (lab.home / "run" / "metrics.jsonl").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))

    try:
        with pytest.raises(ResourceError, match=r"metrics\.jsonl: found file too large"):
            lab.train("run", plugins=(Shrink(),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_there_must_be_room_for_two_checkpoints_before_the_first_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "REPORTS", 10**18)  # more than any disk has
    with pytest.raises(ResourceError, match=r"of free space; expected at least 1e\+06 TB") as caught:
        lab.train("run")
    assert caught.value.exit_code == 6
    assert not metrics_of(lab.home / "run")


def metrics_of(folder: Path) -> list[dict[str, float]]:
    return metrics(folder) if (folder / "metrics.jsonl").exists() else []


class Poison:
    """A plugin that makes a number of the state invalid after a step, as a broken memory would."""

    def __init__(self, step: int, table: str, value: float) -> None:
        self.step, self.table, self.value = step, table, value

    @hookimpl
    def jitkit_run_started(self, pipeline: object) -> None:
        self.network = pipeline.denoiser.network  # type: ignore[attr-defined]

    @hookimpl
    def jitkit_step_finished(self, step: int) -> None:
        if step != self.step:
            return
        if self.table == "weights":
            with torch.no_grad():
                next(self.network.parameters()).view(-1)[0] = self.value
            return
        import gc

        from jitkit.training.state import State

        first = next(self.network.parameters())
        states = (found for found in gc.get_objects() if type(found) is State)
        [state] = [found for found in states if next(found.network.parameters()) is first]
        if self.table == "average":
            next(iter(state.averages.states["0.999"].values())).view(-1)[0] = self.value
        else:
            next(iter(state.optimizer.state_dict().values()))[self.table].view(-1)[0] = self.value


@pytest.mark.parametrize(
    ("table", "value", "name"),
    [
        ("weights", float("nan"), "model_state_dict"),
        ("average", float("nan"), r"ema_state_dict\.0\.999"),
        ("exp_avg", float("nan"), "optimizer_state_dict"),
        ("exp_avg_sq", float("inf"), "optimizer_state_dict"),
    ],
)
@pytest.mark.parametrize("step", [pytest.param(8, marks=pytest.mark.slow), 11])
def test_a_state_that_is_not_finite_stops_the_run_and_is_never_saved(
    lab: Lab, table: str, value: float, name: str, step: int
) -> None:
    run = lab.home / "run"
    with pytest.raises(DivergedError, match=rf"step {step}: {name}.*found {value}.*checkpoint_epoch_1\.pth") as caught:
        lab.train("run", plugins=(Poison(step, table, value),))
    assert caught.value.exit_code == 7
    assert {path.name for path in run.glob("*.pth")} == {"checkpoint_epoch_1.pth", "best_model.pth"}
    assert lab.train("run", resume="auto").step == 16


def test_large_finite_values_are_no_reason_to_stop(lab: Lab) -> None:
    """The square of the norm overflows."""
    assert lab.train("run", "train.max_steps=7", plugins=(Poison(3, "exp_avg_sq", 1e30),)).step == 7


class Steep:
    """A plugin that makes a gradient large."""

    def __init__(self, value: float) -> None:
        self.value = value

    @hookimpl
    def jitkit_run_started(self, pipeline: object) -> None:
        parameter = next(pipeline.denoiser.network.parameters())  # type: ignore[attr-defined]
        parameter.register_hook(lambda gradient: gradient + self.value)


@pytest.mark.parametrize("value", [1e25, float("inf")])
def test_a_gradient_whose_norm_overflows_is_not_used(lab: Lab, value: float) -> None:
    with pytest.raises(Stopped):
        lab.train("sound", "train.clip_norm=1e30", plugins=(StopAt(0),))
    with pytest.raises(
        DivergedError, match=r"step 1: grad_norm: found .*The weights before it: checkpoint_epoch_0\.pth"
    ):
        lab.train("run", "train.clip_norm=1e30", plugins=(Steep(value),))
    name = "checkpoint_epoch_0.pth"
    assert digest(lab.home / "run" / name) == digest(lab.home / "sound" / name)
    index = json.loads((lab.home / "run" / INDEX).read_text())
    assert index["files"]["diverged_step_1.json"]["kind"] == "divergence"


class BrokenBatch:
    """A plugin that lets the network see a batch that is not a number."""

    @hookimpl
    def jitkit_run_started(self, pipeline: object) -> None:
        network = pipeline.denoiser.network  # type: ignore[attr-defined]
        network.register_forward_pre_hook(lambda network, inputs: (inputs[0] * torch.nan, *inputs[1:]))


def test_a_batch_that_is_not_finite_is_not_used(lab: Lab) -> None:
    with pytest.raises(Stopped):
        lab.train("sound", plugins=(StopAt(0),))
    with pytest.raises(DivergedError, match=r"step 1: loss: found nan.*before it: checkpoint_epoch_0\.pth"):
        lab.train("run", plugins=(BrokenBatch(),))
    name = "checkpoint_epoch_0.pth"
    assert digest(lab.home / "run" / name) == digest(lab.home / "sound" / name)


def test_clipping_makes_a_large_gradient_usable(lab: Lab) -> None:
    assert lab.train("run", "train.max_steps=2", plugins=(Steep(1e15),)).step == 2


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ("train.betas=[2.0, 2.0]", r"train\.betas"),
        ("train.betas=[-0.5, 0.95]", r"train\.betas"),
        ("train.betas=[0.9, 1.0]", r"train\.betas"),
        ("train.lr=4e39", r"train\.lr"),
        ("train.lr=nan", r"train\.lr"),
        ("train.weight_decay=1e39", r"train\.weight_decay"),
        ("train.clip_norm=1e39", r"train\.clip_norm"),
        ("train.checkpoint_minutes=0", r"train\.checkpoint_minutes"),
    ],
)
def test_numbers_that_no_run_can_use_are_named(lab: Lab, setting: str, field: str) -> None:
    with pytest.raises(ManifestError, match=rf"{field}.*: found") as caught:
        lab.train("run", setting)
    assert caught.value.exit_code == 3


class SignalInStep:
    """A plugin that gets a signal while the first batch goes through the network, or while the weights are validated."""

    def __init__(self, number: int, *, training: bool, times: int = 1) -> None:
        self.number, self.training, self.times = number, training, times

    @hookimpl
    def jitkit_run_started(self, pipeline: object) -> None:
        pipeline.denoiser.network.register_forward_pre_hook(self._signal)  # type: ignore[attr-defined]

    def _signal(self, network: torch.nn.Module, inputs: object) -> None:
        if network.training == self.training and self.times:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
            self.times = 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(("training", "step"), [(True, 1), (False, 6)])
def test_a_signal_inside_a_step_or_a_validation_saves(
    lab: Lab, whole: Path, number: int, code: int, training: bool, step: int
) -> None:
    with pytest.raises(Stopped) as caught:
        lab.train("run", "train.keep=2", plugins=(SignalInStep(number, training=training),))
    assert caught.value.code == code
    assert load_checkpoint(lab.home / "run" / "checkpoint_epoch_1.pth").step == step
    lab.train("run", "train.keep=2", resume="auto")
    assert metrics(lab.home / "run") == metrics(whole)


def processes_of(session: int) -> dict[int, str]:
    """Return the command lines of the processes in a session, by id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None or not Path("/proc/self/stat").exists(), reason="no g++ or no /proc here"
)
def test_ctrl_c_in_a_terminal_during_compilation_also_kills_the_compiler_and_saves(tmp_path: Path) -> None:
    """The terminal sends the signal to all processes of its group: to ours, and to the compilers that torch starts."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    code = "from jitkit.cli import main; main()"
    arguments = ("train", "tiny.toml", "--data", "text.txt", "--out", "run", "--set", "train.compile=on")
    variables = {"JITKIT_CACHE": str(tmp_path / "cache"), "TORCHINDUCTOR_COMPILE_THREADS": "2", "OMP_NUM_THREADS": "1"}
    variables["PYTHONWARNINGS"] = "ignore"  # torch's compiler uses what it deprecates
    variables["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "compiled")  # another test may have set it
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path, env=os.environ | variables, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        while process.poll() is None and not any(".main.cpp" in line for line in processes_of(process.pid).values()):
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, errors
    lines = errors.splitlines()
    assert all(line.startswith("jitkit: ") for line in lines), errors
    assert "does not work" not in errors
    assert lines[-1].startswith("jitkit: stopped after step 0; saved run/checkpoint_epoch_0.pth")
    assert load_checkpoint(tmp_path / "run" / "checkpoint_epoch_0.pth").execution["compile"] == "on"
    assert processes_of(process.pid) == {}


def test_two_signals_inside_the_first_step_stop_at_once(lab: Lab) -> None:
    with pytest.raises(Stopped, match="at once"):
        lab.train("run", plugins=(SignalInStep(signal.SIGINT, training=True, times=2),))
    assert not list((lab.home / "run").glob("*.pth"))


def test_a_stale_lock_and_a_folder_that_was_begun_are_no_obstacle(lab: Lab, whole: Path) -> None:
    kill(lab, "metrics.jsonl:write:3")
    assert (lab.home / "run" / ".lock").exists()
    lab.train("run", "train.keep=2", resume="auto")
    assert_equal(lab.home / "run", whole)
