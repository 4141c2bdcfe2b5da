"""Readers that leave, full disks, closed streams, and terminals that hang up."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitkit.checkpoints.format import load_checkpoint
from jitkit.cli.commands import COMMANDS
from jitkit.cli.lazy import built
from jitkit.errors import ResourceError
from tests.core.cli.conftest import ENVIRONMENT, JITKIT, run_on_a_terminal
from tests.tiny import TINY

RUN = "train tiny.toml --data text.txt --out run --set train.compile=off --set train.precision=fp32"


@contextmanager
def output(kind: str) -> Iterator[int]:
    """A descriptor for output: of a full disk, or of a pipe whose reader has left."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    yield descriptor
    os.close(descriptor)


def run_with(command: str, stdout: str, stderr: str = "pipe", **environment: str) -> tuple[int, str, str]:
    """Run a command with its streams "full", "gone", "closed" or in a pipe. Return the exit code and the output."""
    closing = "".join(f" {number}>&-" for number, kind in ((1, stdout), (2, stderr)) if kind == "closed")
    with output(stdout) as out, output(stderr) as err:
        done = subprocess.run(
            ["bash", "-c", f"{JITKIT} {command}{closing}"],
            stdout=out if stdout in {"full", "gone"} else subprocess.PIPE,
            stderr=err if stderr in {"full", "gone"} else subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | environment,
            check=False,
            timeout=120,
        )
    return done.returncode, done.stdout or "", done.stderr or ""


FULL = "jitkit: error: stdout: found no space left on device; expected a file that can be written.\n"


COMMANDS_WITH_OUTPUT = ("zoo list", "zoo list --json", "zoo show jit-nano", "--help", "--version")
LOST = (("full", 6, FULL), ("gone", 141, ""), ("closed", 0, ""))


@pytest.mark.parametrize(
    ("command", "stdout", "code", "message"),
    [
        pytest.param(command, *lost, marks=[] if n % 3 == m else pytest.mark.slow)  # each of both is in a quick test
        for n, command in enumerate(COMMANDS_WITH_OUTPUT)
        for m, lost in enumerate(LOST)
    ],
)
def test_a_result_that_nobody_gets_sets_the_exit_code(command: str, stdout: str, code: int, message: str) -> None:
    """The rule of the shell: a full disk is an error, a reader who has seen enough is not, and `>&-` is a wish."""
    assert run_with(command, stdout) == (code, "", message)


@pytest.mark.parametrize("stderr", ["full", "gone", "closed"])
def test_an_error_that_nobody_reads_keeps_its_exit_code(stderr: str) -> None:
    assert run_with("zoo show nowhere", "pipe", stderr)[:2] == (3, "")
    assert run_with("zoo list --no-such-option", "pipe", stderr)[:2] == (2, "")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest and a text, the working directory."""
    (tmp_path / "tiny.toml").write_text(TINY.replace("max_steps = 2", "max_steps = 8\nbatch_size = 4\nepochs = 1"))
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "JITKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "gone", "closed"])
def test_training_needs_nobody_who_reads(place: Path, kind: str) -> None:
    assert run_with(RUN, kind, kind)[0] == 0
    assert load_checkpoint(place / "run" / "best_model.pth").step == 8


@pytest.mark.slow
def test_files_are_the_result_of_commands_that_write_them(place: Path) -> None:
    """The summary on stdout is not."""
    for stdout in ("full", "gone"):
        command = "encode text.txt -m tiny.toml -o album-" + stdout
        assert run_with(command, stdout)[0] == 0
        assert (place / f"album-{stdout}" / "000001.png").exists()
        assert run_with(command, "pipe")[0] != 0, "the folder is taken"


@pytest.mark.slow
def test_a_terminal_that_hangs_up_saves_and_ends_with_129(place: Path) -> None:
    """Another size does not matter."""
    master, terminal = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [JITKIT, *RUN.split(), "--set", "train.max_steps=100000"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=take_terminal,
        env={name: value for name, value in ENVIRONMENT.items() if name != "COLUMNS"} | {"TERM": "xterm"},
    )
    os.close(terminal)
    output = b""
    while b"loss" not in output:
        output += os.read(master, 65536)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 10, 7, 0, 0))  # sends SIGWINCH
    for _ in range(5):
        assert os.read(master, 65536)
    os.close(master)
    assert process.wait(60) == 129
    assert next((place / "run").glob("checkpoint_*.pth"))


@pytest.mark.slow
def test_generating_ends_when_the_reader_leaves(checkpoint: Path) -> None:
    code, _, stderr = run_with(f"generate {checkpoint} -n 100000 --device cpu", "gone")
    assert (code, stderr) == (141, "")


@pytest.mark.slow
def test_texts_go_to_stdout_while_a_terminal_shows_the_progress(checkpoint: Path, tmp_path: Path) -> None:
    """The progress bar once redirected stdout to itself, and `jitkit generate > file` left only the headings in the file."""
    file = tmp_path / "texts.txt"
    prompt = ("--prompt", "To be", "--device", "cpu")
    code, screen = run_on_a_terminal("generate", checkpoint, "-n", "2", *prompt, stdout=file)
    assert code == 0, screen
    assert "sampling" in screen
    assert "To be" not in screen
    assert re.match("# seed 0\nTo be(.|\n)*# seed 1\nTo be", file.read_text())


def test_a_pipe_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other than stdout and stderr, it is essential. typer would exit with 1, without a word."""

    def breaks(**options: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    command = built("list", COMMANDS["zoo"].members["list"])
    monkeypatch.setattr(command, "callback", breaks)
    with pytest.raises(ResourceError, match="found a pipe whose reader has left"):
        command.main([], standalone_mode=False)
