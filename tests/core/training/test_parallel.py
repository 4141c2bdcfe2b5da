"""Two processes started by torchrun train the same model as one, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jitkit.checkpoints.format import load_checkpoint
from tests.training_lab import RECIPE, Lab, digest, metrics

pytestmark = pytest.mark.slow

PARTS = ("train.accumulate=2",)
LEARNING = (*PARTS, "schedule={use='adaptive'}", "train.optimizer=muon")
TEACHING = (*PARTS, "train.max_steps=6", "teacher.steps=4")


def start(lab: Lab, out: str, *overrides: str, words: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start two processes of `jitkit train` with one thread each, as in a `Lab`."""
    (lab.home / "tiny.toml").write_text(RECIPE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "jitkit", "train", "tiny.toml", "--data", "text.txt", "--out", out, "--device", "cpu", *words]
    return subprocess.Popen(
        [*launcher, *command, *(word for setting in overrides for word in ("--set", setting))],
        cwd=lab.home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(lab: Lab, out: str, *overrides: str, words: tuple[str, ...] = ()) -> str:
    """Train to the end with two processes; return their output."""
    process = start(lab, out, *overrides, words=words)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoint_*.pth"), key=lambda path: load_checkpoint(path).step)


@pytest.mark.parametrize("settings", [PARTS, LEARNING], ids=["adamw", "muon, a schedule that learns"])
def test_two_processes_equal_one_with_accumulation(lab: Lab, settings: tuple[str, ...]) -> None:
    lab.train("one", *settings)
    output = train(lab, "two", *settings)
    assert metrics(lab.home / "two") == metrics(lab.home / "one")
    assert digest(newest(lab.home / "two")) == digest(newest(lab.home / "one"))
    assert digest(lab.home / "two" / "best_model.pth") == digest(lab.home / "one" / "best_model.pth")
    assert load_checkpoint(newest(lab.home / "two")).execution["processes"] == "2"
    assert output.count("trained to step") == output.count("validation loss ") / 4 == 1, "only the main process prints"


def test_two_processes_distill_like_one_except_for_rounding(lab: Lab) -> None:
    """Gradients of the steps of a trajectory are summed before those of other parts."""
    lab.train("teacher", "train.max_steps=4")
    teacher = lab.home / "teacher" / "best_model.pth"
    lab.train("one", *TEACHING, initial=teacher, teacher=teacher)
    train(lab, "two", *TEACHING, words=("--init", str(teacher), "--teacher", str(teacher)))
    for two, one in zip(metrics(lab.home / "two"), metrics(lab.home / "one"), strict=True):
        assert two == pytest.approx(one, rel=1e-4)


def test_two_processes_stop_after_the_same_step_and_one_can_resume(lab: Lab) -> None:
    """torchrun forwards SIGTERM to both, at different times."""
    settings = (*PARTS, "train.epochs=60", "train.validate_every=60")
    lab.train("whole", *settings)
    process, log = start(lab, "parts", *settings), lab.home / "parts" / "metrics.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) > 2):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    stopped = newest(lab.home / "parts")
    step = load_checkpoint(stopped).step
    assert output.count(f"stopped after step {step}; saved") == output.count("jitkit: stopped") == 1
    assert step == metrics(lab.home / "parts")[-1]["step"] < metrics(lab.home / "whole")[-1]["step"]
    lab.train("parts", *settings, resume="auto")
    assert "processes 2 -> nothing" in lab.output()
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")
    assert digest(newest(lab.home / "parts")) == digest(newest(lab.home / "whole"))


def test_the_main_process_turns_minutes_into_steps_for_all(lab: Lab) -> None:
    output = train(lab, "minutes", *PARTS, "train.minutes=0.1", "train.epochs=30")
    steps = metrics(lab.home / "minutes")[-1]["step"]
    assert output.count(f"0.1 minutes are {steps:,} steps") == 1
    every = load_checkpoint(newest(lab.home / "minutes")).manifest.partition("validate_steps = ")[2].split()[0]
    lab.train("steps", *PARTS, f"train.max_steps={steps}", f"train.validate_steps={every}")
    assert digest(newest(lab.home / "minutes")) == digest(newest(lab.home / "steps"))
    assert metrics(lab.home / "minutes") == metrics(lab.home / "steps")


def test_a_number_of_parts_that_processes_cannot_share_is_refused(lab: Lab) -> None:
    process = start(lab, "run", "train.accumulate=3")
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "train.accumulate: found a batch in 3 parts; expected a multiple of the 2 processes." in output
    assert "jitkit: internal error" not in output
    assert not list((lab.home / "run").glob("*.pth"))
