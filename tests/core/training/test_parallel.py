"""Two processes started by torchrun train the same model as one, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.format import load_checkpoint
from tests.training_lab import RECIPE, Lab, digest, metrics

pytestmark = pytest.mark.slow

PARTS = ("train.accumulate=2",)
LEARNING = (*PARTS, "schedule={use='adaptive'}", "train.optimizer=muon")
TEACHING = (*PARTS, "train.max_steps=6", "teacher.steps=4")


def start(
    lab: Lab,
    out: str,
    *overrides: str,
    words: tuple[str, ...] = (),
    num: int = 2,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start `num` processes of `jitkit train` with one thread each, as in a `Lab`."""
    (lab.home / "tiny.toml").write_text(RECIPE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num)]
    command = ["-m", "jitkit", "train", "tiny.toml", "--data", "text.txt", "--out", out, "--device", "cpu", *words]
    return subprocess.Popen(
        [*launcher, *command, *(word for setting in overrides for word in ("--set", setting))],
        cwd=lab.home,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(lab: Lab, out: str, *overrides: str, words: tuple[str, ...] = (), num: int = 2) -> str:
    """Train to the end with `num` processes; return their output."""
    process = start(lab, out, *overrides, words=words, num=num)
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
    assert output.count("trained to step") == output.count("  validation loss ") / 3 == 1, (
        "only the main process prints"
    )


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


SHARDED = ("parallel.shard=2", "train.max_steps=20", "train.validate_steps=10", "train.lr=1e-3")


def differs_by(one: Path, other: Path) -> float:
    """Return the largest relative difference of the weights and averages of two checkpoints."""
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return max(float((a - b).norm() / b.norm().clamp(min=1e-3)) for a, b in pairs)


def weights(path: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(path)
    averages = {f"{decay}.{name}": v for decay, of in checkpoint.ema_state_dict.items() for name, v in of.items()}
    return {name: value.double() for name, value in (checkpoint.model_state_dict | averages).items()}


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in metrics(folder) if "loss" in row]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_sharded_run_equals_one_process(lab: Lab, optimizer: str) -> None:
    """Acceptance row 2, bit for bit. `RECIPE` has biases and norms that do not fill a vector of a CPU."""
    settings = (*PARTS, *SHARDED[1:], f"train.optimizer={optimizer}", "train.clip_norm=0.1")
    lab.train("one", *settings)
    train(lab, "two", "parallel.shard=2", *settings)
    assert metrics(lab.home / "two") == metrics(lab.home / "one")
    assert digest(newest(lab.home / "two")) == digest(newest(lab.home / "one"))


def test_a_sharded_run_equals_itself_after_a_stop(lab: Lab) -> None:
    """Acceptance row 3."""
    train(lab, "whole", *SHARDED)
    process, log = start(lab, "parts", *SHARDED), lab.home / "parts" / "metrics.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) > 2):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert load_checkpoint(newest(lab.home / "parts")).step < 20
    train(lab, "parts", *SHARDED, words=("--resume", "auto"))
    assert metrics(lab.home / "parts") == metrics(lab.home / "whole")
    assert digest(newest(lab.home / "parts")) == digest(newest(lab.home / "whole"))
    assert digest(lab.home / "parts" / "best_model.pth") == digest(lab.home / "whole" / "best_model.pth")


def test_a_sharded_run_continues_with_any_number_of_processes(lab: Lab) -> None:
    """Acceptance row 4: 2 processes save, 1 and 3 go on."""
    train(lab, "two", *SHARDED)
    longer = ("train.max_steps=40", *SHARDED[2:])
    lab.train("one", *longer, resume=newest(lab.home / "two"))
    train(lab, "three", "parallel.shard=3", *longer, words=("--resume", str(newest(lab.home / "two"))), num=3)
    assert losses(lab.home / "three") == pytest.approx(losses(lab.home / "one"), rel=1e-5)
    assert differs_by(newest(lab.home / "three"), newest(lab.home / "one")) < 1e-5


def test_processes_with_a_single_image_take_equal_numbers_of_passes(lab: Lab) -> None:
    """Acceptance row 6: of two processes with an image each, only one image at a time is shown its own estimate."""
    settings = ("train.batch_size=2", "train.max_steps=60", "train.validate_steps=60", "parallel.timeout=15")
    lab.train("one", *settings)
    train(lab, "two", "parallel.shard=2", *settings)
    assert losses(lab.home / "two") == pytest.approx(losses(lab.home / "one"), rel=1e-4)


def test_a_world_size_that_does_not_fit_the_mesh_is_refused(lab: Lab) -> None:
    process = start(lab, "run", "parallel.shard=3")
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "--set: parallel.shard: found 3; expected a divisor of 2 processes, or auto." in output
    assert output.count(": error: ") == 1
    assert not list((lab.home / "run").glob("*.pth"))
