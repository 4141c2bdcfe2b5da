"""Shell completion, through the scripts' own interface."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.core.cli.conftest import ENVIRONMENT, run, run_without_torch


def completed(line: str) -> list[str]:
    """Return what bash is offered at the end of a line."""
    words = {"_JITKIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = run_without_torch(**words)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("jitkit tr", "train"),
        ("jitkit codec ", "inspect"),
        ("jitkit train --re", "--resume"),
        ("jitkit train jit-n", "jit-nano"),
        ("jitkit generate jit-n", "jit-nano"),
        ("jitkit train --teacher jit-n", "jit-nano"),
        ("jitkit encode novel.txt -m jit-n", "jit-nano"),
        ("jitkit eval --metric likel", "likelihood"),
        ("jitkit train jit-nano --set train.l", "train.lr="),
        ("jitkit train jit-nano --set backbone.d", "backbone.depth="),
        ("jitkit generate jit-nano --set sampler.ga", "sampler.gamma="),
        ("jitkit bench --only st", "startup"),
        ("jitkit codec inspect bi", "bits"),
    ],
)
def test_names_are_completed_without_torch(line: str, offered: str) -> None:
    assert offered in completed(line)


def test_standard_input_is_not_read() -> None:
    """It is the terminal that the user is typing in, so it does not end."""
    command = [sys.executable, "-c", "import sys; sys.argv = ['jitkit']\nfrom jitkit.cli import main\nmain()"]
    words = {"_JITKIT_COMPLETE": "complete_bash", "COMP_WORDS": "jitkit train --data - --re", "COMP_CWORD": "4"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT | words) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.wait(timeout=60)
        finally:
            process.stdin.close()
        assert b"--resume" in process.stdout.read()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    """The variable makes typer take the shell from the option instead of looking at the parent process."""
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "_JITKIT_COMPLETE" in done.stdout
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
