"""`run_state.json` holds what has become of a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from jitkit import hookimpl
from jitkit.documents.document import read_document
from jitkit.documents.schemas import RunState
from jitkit.errors import InputError, ManifestError, ResourceError, Stopped, UsageError
from jitkit.training.run_state import RUN_STATE
from tests.training_lab import Lab, StopAt, metrics


class RaiseAt:
    """A plugin whose callback fails at a step."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, values: dict[str, float]) -> None:
        if values["step"] == 8:
            raise self.error


def state(folder: Path) -> RunState:
    return read_document(folder / RUN_STATE, RunState)


def test_a_finished_run(lab: Lab) -> None:
    lab.train("run")
    found = state(lab.home / "run")
    assert (found.state, found.step, found.exit_code, found.error) == ("finished", 16, 0, None)
    assert (found.world_size, found.restarts, found.launch) == (1, 0, None)
    before = metrics(lab.home / "run")
    lab.train("run", resume="auto")
    assert state(lab.home / "run").state == "finished"
    assert metrics(lab.home / "run") == before


def test_a_stopped_run(lab: Lab) -> None:
    with pytest.raises(Stopped):
        lab.train("run", plugins=(StopAt(5),))
    found = state(lab.home / "run")
    assert (found.state, found.step, found.exit_code, found.error) == ("stopped", 5, 143, None)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("a bug"), 1, "internal error: ValueError: a bug\nThis is a bug"),
        (MemoryError(), 6, "error: found not enough memory"),
        (InputError("x", "y", file="z"), 4, "error: z: found x; expected y."),
    ],
    ids=["bug", "memory", "error"],
)
def test_a_failed_run(lab: Lab, error: Exception, code: int, text: str) -> None:
    from jitkit.training.callbacks import Callbacks

    with pytest.raises(type(error)):
        lab.train("run", callbacks=Callbacks(RaiseAt(error)))
    found = state(lab.home / "run")
    assert (found.state, found.step, found.exit_code) == ("failed", 8, code)
    assert found.error
    assert found.error.startswith(text)


def test_a_killed_run_is_still_running_with_the_step_of_its_last_checkpoint(lab: Lab) -> None:
    child = os.fork()
    if child == 0:
        lab.train("run", plugins=(StopAt(8, signal.SIGKILL),))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    found = state(lab.home / "run")
    assert (found.state, found.step, found.exit_code) == ("running", 6, None)


def test_a_start_that_fails_leaves_the_state_of_the_run(lab: Lab) -> None:
    lab.train("run")
    with pytest.raises(UsageError, match="a run in this folder"):
        lab.train("run")
    assert state(lab.home / "run").state == "finished"
    other = lab.home / "other.txt"
    other.write_text("another text, which is as long as it has to be. " * 20)
    with pytest.raises(ManifestError, match="another text"):
        lab.train("run", resume="auto", data=other)
    assert state(lab.home / "run").state == "finished"


def test_a_file_of_the_user_is_not_replaced(lab: Lab) -> None:
    (lab.home / "run").mkdir()
    (lab.home / "run" / RUN_STATE).write_text("mine")
    with pytest.raises(UsageError, match=r"run_state\.json: found a file that is not of a run"):
        lab.train("run")
    assert (lab.home / "run" / RUN_STATE).read_text() == "mine"


def test_a_damaged_state_does_not_keep_a_run_from_going_on(lab: Lab) -> None:
    with pytest.raises(Stopped):
        lab.train("run", plugins=(StopAt(5),))
    (lab.home / "run" / RUN_STATE).write_bytes(b"\xff{")
    lab.train("run", resume="auto")
    assert state(lab.home / "run").state == "finished"


class SecondJob:
    """Another job that begins in the same folder on a file system without locks."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @hookimpl
    def jitkit_step_finished(self, step: int) -> None:
        if step == 8:
            (self.lab.home / "run" / ".lock").unlink()
            self.lab.train("run", resume="auto")
            self.files = content(self.lab.home / "run")


def test_the_earlier_of_two_jobs_in_a_folder_stops_before_it_replaces_anything(lab: Lab) -> None:
    lab.train("whole")
    second = SecondJob(lab)
    with pytest.raises(ResourceError, match=r"run: found another job in this folder; expected one job\."):
        lab.train("run", plugins=(second,))
    assert state(lab.home / "run").state == "finished"
    assert content(lab.home / "run") == second.files
    assert metrics(lab.home / "run") == metrics(lab.home / "whole")


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the time and the content of the files of a run."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.glob("[!.]*")}


def test_a_signal_that_torchrun_repeats_does_not_stop_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and Slurm reach the processes directly, and once more through torchrun."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    with pytest.raises(Stopped, match="stopped after step 5; saved"):
        lab.train("run", plugins=(StopAt(5), StopAt(5)))
    assert (state(lab.home / "run").step, state(lab.home / "run").launch) == (5, "job")
