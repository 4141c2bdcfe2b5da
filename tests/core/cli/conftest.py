"""A checkpoint of a tiny model, and functions that run commands."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.checkpoints.format import save_checkpoint
from tests.command_server import CommandServer
from tests.tiny import checkpoint_of, resolved

JITKIT = str(Path(sys.executable).parent / "jitkit")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONUTF8": "1"}
AT_START = ("PYTHON", "LC_", "LANG", "OMP_", "GOMP_", "TERM", "NO_COLOR", "FORCE_COLOR")  # read when a process starts


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory):
    """Return a function that writes a checkpoint of the tiny model with random weights."""

    def make(*overrides: str) -> Path:
        pipeline = assemble(resolved("train.precision=fp32", *overrides))  # auto may change between runs
        generator = torch.Generator().manual_seed(0)
        for parameter in pipeline.network.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
        path = tmp_path_factory.mktemp("run") / "best_model.pth"
        save_checkpoint(path, checkpoint_of(pipeline))
        return path

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint):
    """A checkpoint of the tiny model."""
    return make_checkpoint()


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `jitkit`, not on a terminal. A new interpreter is started only if its environment requires one."""
    if any(name.startswith(AT_START) for name in environment):
        command = [JITKIT, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, check=False)
    return server().run([*map(str, arguments)], ENVIRONMENT | environment)


def run_without_torch(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `jitkit`, which fails if it imports torch."""
    return server(without_torch=True).run([*map(str, arguments)], ENVIRONMENT | environment)


@cache
def server(*, without_torch: bool = False) -> CommandServer:
    """The server that runs commands for this process."""
    return CommandServer(ENVIRONMENT, without_torch=without_torch)


def run_on_a_terminal(
    *arguments: object, columns: int = 100, lines: int = 40, stdout: Path = Path(os.devnull)
) -> tuple[int, str]:
    """Run `jitkit` on a terminal, or with a file for stdout; return the exit code and what the terminal shows."""
    reader, terminal = pty.openpty()
    environment = ENVIRONMENT | {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm-256color"}
    command = [JITKIT, *map(str, arguments)]
    with (
        stdout.open("wb") as file,
        subprocess.Popen(
            command,
            stdout=terminal if stdout == Path(os.devnull) else file,
            stderr=terminal,
            stdin=terminal,
            env=environment,
        ) as process,
    ):
        os.close(terminal)
        output = b""
        while select.select([reader], [], [], 60)[0]:
            try:
                data = os.read(reader, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            output += data
        code = process.wait()
    os.close(reader)
    return code, output.decode()
