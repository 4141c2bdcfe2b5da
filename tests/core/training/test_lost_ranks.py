"""What happens to the other processes of torchrun, and what is printed, if one of them fails."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jitkit.checkpoints.format import load_checkpoint
from jitkit.errors import Stopped
from tests.core.training.test_parallel import newest
from tests.core.training.test_run_state import state
from tests.training_lab import RECIPE, Lab, StopAt, digest, metrics

pytestmark = pytest.mark.slow

SETTINGS = ("train.accumulate=2", "train.compile=off", "train.precision=fp32", "train.epochs=3")
LONG = (*SETTINGS, "train.epochs=600", "train.validate_every=1", "train.keep=2")

LAST = 7  # step before the ninth pass: each process has one pass in a step, and one in the validation after step 6

# Every process writes down how it ends, because torchrun exits with 1 whatever they return. At a forward pass, one rank fails.
WORKER = """
import os, signal, sys, time
from pathlib import Path

rank, home = os.environ["RANK"], Path(sys.argv.pop(1))
if rank == "1":
    sys.argv += os.environ.get("RANK_1", "").split()
(home / f"pid_{rank}").write_text(str(os.getpid()))

def end(code, end=os._exit):
    (home / f"code_{rank}").write_text(str(code))
    end(code)

os._exit = end  # a process with torch ends by this
try:
    import jitkit.cli
    jitkit.cli.main()
except SystemExit as early:
    end(early.code)
"""

PLUGIN = """
import os, signal, torch
import jitkit

PASSES = []

@jitkit.hookimpl
def jitkit_objectives():
    from jitkit_plugins.objectives.flow import Flow

    class Failing(Flow):
        name = "failing"

        def loss(self, raw, batch, *, schedule, codec):
            PASSES.append(1)
            loss = super().loss(raw, batch, schedule=schedule, codec=codec)
            rank, step, what = os.environ.get("FAILING", "::").split(":")
            if os.environ.get("RANK") != rank or not loss.requires_grad or len(PASSES) < int(step):
                return loss
            if what == "raise":
                raise ValueError("a bug in a plugin")
            if what == "nan":
                return loss * torch.nan
            if what == "nan-gradient":
                raw.register_hook(lambda gradient: gradient * torch.nan)
                return loss
            os.kill(os.getpid(), getattr(signal, what))
            return loss

    return [Failing]
"""


@dataclass
class Ranks:
    """Two processes of `jitkit train`, started by torchrun."""

    lab: Lab
    process: subprocess.Popen[str] | None = None
    installed: bool = False  # whether other processes already use the files

    def __post_init__(self) -> None:
        if self.installed:
            return
        home = self.lab.home
        (home / "tiny.toml").write_text(RECIPE)
        (home / "worker.py").write_text(WORKER)
        (home / "failing.py").write_text(PLUGIN)
        info = home / "failing-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[jitkit]\nfailing = failing\n")

    def start(
        self,
        *settings: str,
        words: tuple[str, ...] = (),
        size: int = 2,
        launcher: tuple[str, ...] = ("--standalone",),
        **environ: str,
    ) -> None:
        """Start training in the folder `run`."""
        home = self.lab.home
        for path in () if self.installed else (*home.glob("code_*"), *home.glob("pid_*")):
            path.unlink()
        torchrun = [sys.executable, "-m", "torch.distributed.run", *launcher, "--nproc-per-node", str(size)]
        command = [
            "worker.py",
            str(home),
            "train",
            "tiny.toml",
            "--data",
            "text.txt",
            "--out",
            "run",
            "--device",
            "cpu",
        ]
        overrides = [word for setting in settings for word in ("--set", setting)]
        path = os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [*torchrun, *command, *words, *overrides],
            cwd=home,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *settings: str, **options: Any) -> str:
        """Train to the end; return the output."""
        self.start(*settings, **options)
        return self.end()

    def end(self) -> str:
        """Wait for all processes; return the output."""
        output, _ = self.process.communicate(timeout=100)
        return output

    def pid(self, rank: int) -> int:
        """Return the process ID of a rank."""
        return int((self.lab.home / f"pid_{rank}").read_text())

    def code(self, rank: int) -> int | None:
        """Return the exit code of a rank; None if it was killed."""
        path = self.lab.home / f"code_{rank}"
        return int(path.read_text()) if path.exists() and path.read_text() else None

    def wait_for_steps(self, number: int = 3) -> None:
        """Wait until steps have been taken."""
        log = self.lab.home / "run" / "metrics.jsonl"
        self.wait_until(lambda: log.exists() and len(log.read_text().splitlines()) > number)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds, while torchrun works."""
        end = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def ranks(lab: Lab) -> Iterator[Ranks]:
    found = Ranks(lab)
    yield found
    if found.process and found.process.poll() is None:
        for path in lab.home.glob("pid_*"):
            with suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        found.process.kill()
        found.process.communicate()


def only_line(output: str) -> str:
    """Return the one line that jitkit prints as an error."""
    lines = re.findall(r"^jitkit.*error: .*$", output, re.MULTILINE)
    assert len(lines) == 1, output
    assert "site-packages/jitkit" not in output, "a traceback"
    assert 'jitkit/cli/__init__.py"' not in output, "a traceback"
    return lines[0]


def require_whole(folder: Path) -> None:
    """Check that all checkpoints are complete, and nothing temporary is left."""
    for path in folder.glob("*.pth"):
        load_checkpoint(path)
    assert not [path.name for path in folder.rglob("*") if path.name.startswith(".") and path.name != ".lock"]


def require_equal_to_the_whole_run(ranks: Ranks) -> None:
    """Check that the run, continued by one process, equals one that was never interrupted."""
    ranks.lab.train("run", *SETTINGS, resume="auto")
    ranks.lab.train("whole", *SETTINGS)
    assert metrics(ranks.lab.home / "run") == metrics(ranks.lab.home / "whole")
    assert digest(newest(ranks.lab.home / "run")) == digest(newest(ranks.lab.home / "whole"))


def test_an_exception_of_one_rank_is_printed_by_it_alone(ranks: Ranks) -> None:
    settings = (*SETTINGS, "objective.use=failing")
    line = only_line(ranks.run(*settings, FAILING="1:9:raise"))
    assert line == "jitkit (rank 1 of 2): internal error: ValueError: a bug in a plugin"
    assert (ranks.code(0), ranks.code(1)) == (6, 1)
    found = state(ranks.lab.home / "run")
    assert (found.state, found.exit_code, found.world_size) == ("failed", 1, 2)
    assert str(found.error).startswith("internal error: ValueError: a bug in a plugin")
    require_whole(ranks.lab.home / "run")
    assert load_checkpoint(newest(ranks.lab.home / "run")).step == LAST, "the steps before are saved"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named_by_the_other(ranks: Ranks, rank: int) -> None:
    line = only_line(ranks.run(*SETTINGS, "objective.use=failing", FAILING=f"{rank}:9:SIGKILL"))
    assert line.startswith(
        f"jitkit (rank {1 - rank} of 2): error: processes: found rank {rank} killed; expected all 2 to the end."
    )
    assert "--resume auto continues from there." in line
    assert (ranks.code(rank), ranks.code(1 - rank)) == (None, 6)
    found = state(ranks.lab.home / "run")
    assert (found.state, found.exit_code) == ("failed", 6)
    assert f"processes: found rank {rank} killed" in str(found.error)
    require_whole(ranks.lab.home / "run")
    ranks.run(*SETTINGS, "objective.use=failing", words=("--resume", "auto"))
    assert (ranks.code(rank), ranks.code(1 - rank)) == (0, 0)


@pytest.mark.parametrize(("rank", "timeout"), [(0, 6), (1, 20)])
def test_a_rank_that_hangs_is_named_after_the_timeout(ranks: Ranks, rank: int, timeout: int) -> None:
    ranks.start(*SETTINGS, "objective.use=failing", f"parallel.timeout={timeout}", FAILING=f"{rank}:9:SIGSTOP")
    ranks.wait_for_steps(LAST - 1)
    started = time.monotonic()
    ranks.wait_until(lambda: ranks.code(1 - rank) is not None)
    assert time.monotonic() - started < timeout + 20
    os.kill(ranks.pid(rank), signal.SIGKILL)  # torchrun would do it 30 seconds later
    line = only_line(ranks.end())
    other = f"(rank {1 - rank} of 2): error: processes: found no answer from rank {rank}; expected all 2 to the end."
    assert other in line
    assert ranks.code(1 - rank) == 6
    require_whole(ranks.lab.home / "run")


@pytest.mark.parametrize("what", ["nan", "nan-gradient"])
def test_all_ranks_stop_before_a_step_that_is_not_finite_on_one(ranks: Ranks, what: str) -> None:
    line = only_line(ranks.run(*SETTINGS, "objective.use=failing", FAILING=f"1:9:{what}"))
    assert "step 8: " + ("loss" if what == "nan" else "grad_norm") in line
    assert ("The loss of rank 1 is not finite." in line) == (what == "nan")
    assert (ranks.code(0), ranks.code(1)) == (7, 7)
    assert load_checkpoint(newest(ranks.lab.home / "run")).step == LAST
    require_whole(ranks.lab.home / "run")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all_after_the_same_step(ranks: Ranks, rank: int) -> None:
    ranks.start(*LONG)
    ranks.wait_for_steps()
    os.kill(ranks.pid(rank), signal.SIGTERM)
    output = ranks.end()
    step = load_checkpoint(newest(ranks.lab.home / "run")).step
    assert output.count("jitkit: stopped") == output.count(f"jitkit: stopped after step {step}; saved") == 1
    assert (ranks.code(0), ranks.code(1)) == (143, 143)
    assert state(ranks.lab.home / "run").state == "stopped"
    require_whole(ranks.lab.home / "run")


def test_a_checkpoint_that_cannot_be_written_ends_all_ranks(ranks: Ranks) -> None:
    line = only_line(ranks.run(*SETTINGS, JITKIT_FAULT="checkpoint_epoch_2.pth:write:ENOSPC"))
    assert re.search(r"\(rank 0 of 2\): error: .*checkpoint_epoch_2\.pth.* Kept: .*checkpoint_epoch_1\.pth", line)
    assert (ranks.code(0), ranks.code(1)) == (6, 6)
    assert newest(ranks.lab.home / "run").name == "checkpoint_epoch_1.pth"
    require_whole(ranks.lab.home / "run")
    require_equal_to_the_whole_run(ranks)


def test_a_run_of_one_process_continues_with_two(ranks: Ranks) -> None:
    with pytest.raises(Stopped):
        ranks.lab.train("run", *SETTINGS, plugins=(StopAt(5),))
    ranks.run(*SETTINGS, words=("--resume", "auto"))
    assert load_checkpoint(newest(ranks.lab.home / "run")).execution["processes"] == "2"
    require_equal_to_the_whole_run(ranks)


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ("--set train.lr=0.02", "--set: train.lr: found 0.02; expected 0.01, as in rank 0.", 3),
        ("--set train.max_steps=4", "--set: train.max_steps: found 4; expected nothing, as in rank 0.", 3),
        ("--set train.lrr=1", "--set: train.lrr: found an unknown key", 3),
        ("--out elsewhere", "step: found 0; expected 5, as in rank 0.", 4),
    ],
    ids=["setting", "length", "mistake", "checkpoint"],
)
def test_a_rank_that_would_train_another_run_is_refused(ranks: Ranks, words: str, message: str, code: int) -> None:
    with pytest.raises(Stopped):
        ranks.lab.train("run", *SETTINGS, plugins=(StopAt(5),))
    line = only_line(ranks.run(*SETTINGS, words=("--resume", "auto"), RANK_1=words))
    assert line.startswith(f"jitkit (rank 1 of 2): error: {message}")
    assert ranks.code(1) == code
    assert ranks.code(0) in {6, None}, "torchrun may end it first"
    require_equal_to_the_whole_run(ranks)


def test_a_rank_with_another_text_is_refused(ranks: Ranks) -> None:
    (ranks.lab.home / "other.txt").write_text(ranks.lab.text.read_text().replace("fox", "cat"))
    line = only_line(ranks.run(*SETTINGS, RANK_1="--data other.txt"))
    assert re.match(r"jitkit \(rank 1 of 2\): error: fingerprint: found \w+; expected \w+, as in rank 0\.", line)
    assert ranks.code(1) == 4
    assert not list((ranks.lab.home / "run").glob("*.pth"))


def test_an_error_of_all_ranks_is_printed_once(ranks: Ranks) -> None:
    output = ranks.run(*SETTINGS, "parallel.shard=3")
    assert "parallel.shard: found 3; expected a divisor of 2 processes, or auto." in only_line(output)
    assert "train.epochs" in only_line(ranks.run(*SETTINGS, "train.epochs=-1")), "before the processes join"
    assert not list((ranks.lab.home / "run").glob("*.pth"))


@pytest.mark.parametrize(
    ("environ", "message", "code"),
    [
        ({}, "MASTER_PORT: found 127.0.0.1:{port} in use; expected a free port.", 6),
        (
            {"RANK": "1", "JITKIT_PROCESS_TIMEOUT": "2"},
            "127.0.0.1:{port}: found processes that do not reach each other",
            6,
        ),
        (
            {"JITKIT_PROCESS_TIMEOUT": "-1"},
            "JITKIT_PROCESS_TIMEOUT: found '-1'; expected a number of seconds above 0.",
            2,
        ),
        ({"MASTER_PORT": ""}, "MASTER_ADDR: found an incomplete environment", 2),
    ],
    ids=["port in use", "nobody", "timeout", "no port"],
)
def test_a_rank_that_cannot_join_ends(ranks: Ranks, environ: dict[str, str], message: str, code: int) -> None:
    """Without torchrun, which looks for a free port itself."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if environ.get("RANK") != "1":  # nobody would answer it
            server.listen()
        port = str(server.getsockname()[1])
        group = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **environ}
        ended = subprocess.run(
            [sys.executable, "-m", "jitkit", "train", "tiny.toml", "--data", "text.txt", "--device", "cpu"],
            cwd=ranks.lab.home,
            env={**os.environ, **group},
            capture_output=True,
            text=True,
            timeout=60,
        )
    line = only_line(ended.stderr)
    assert line.startswith(f"jitkit (rank {group['RANK']} of 2): error: {message.format(port=port)}"), ended.stderr
    assert ended.returncode == code
