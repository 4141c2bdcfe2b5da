"""Terminal escapes in files, folder names, and options are shown, not executed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jitkit.assembly import assemble
from jitkit.checkpoints.format import save_checkpoint
from tests.core.cli.conftest import ENVIRONMENT, run, run_on_a_terminal
from tests.tiny import TINY, checkpoint_of, resolved

HOSTILE = "\x1b]0;title\x07\x1b[31m\u202e[x]:100:\n\x9b"
SHOWN = "\\x1b]0;title\\x07\\x1b[31m\\u202e[x]:100:\\n\\x9b"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with escapes in its folder and in what it tells about its data; the manifest and text of a run."""
    pipeline = assemble(resolved())
    folder = tmp_path / HOSTILE
    folder.mkdir()
    origins = {"fingerprint": "0", "origin": HOSTILE, "initial": HOSTILE}
    save_checkpoint(folder / "best_model.pth", replace(checkpoint_of(pipeline), data=origins))
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "JITKIT_CACHE", str(tmp_path / "cache"))
    return folder / "best_model.pth"


TRAIN = ("train", "tiny.toml", "--data", "text.txt", "--set", "train.compile=off", "--init", "{}", "--out")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("eval", "--checkpoint", "{}", "--metric", "likelihood", "--out", HOSTILE + "out"),
        ("export", "{}", "-o", HOSTILE + "out"),
        ("generate", "{}", "--prompt", HOSTILE[:4]),
        (*TRAIN, HOSTILE + "run"),
        ("data", "inspect", "tiny.toml", "--data", HOSTILE),
        ("zoo", "show", HOSTILE),
        ("codec", "inspect", "bits", "--set", f"codec.{HOSTILE}=1"),
    ],
    ids=lambda command: command[0],
)
def test_escapes_are_shown(hostile: Path, command: tuple[str, ...]) -> None:
    arguments = [word.format(hostile) for word in command]
    screen = run_on_a_terminal(*arguments, columns=400)[1]
    piped = run(*arguments, "--overwrite") if command[0] == "train" else run(*arguments)
    for shown in (screen, piped.stderr, "" if command[0] == "generate" else piped.stdout):
        assert not any(escape in shown for escape in ("\x1b]0", "\x1b[31m", "\x9b", "\u202e")), shown
    assert "\\x1b]" in screen


@pytest.mark.slow
def test_a_note_is_one_line(hostile: Path) -> None:
    done = run(*(word.format(hostile) for word in TRAIN), "run")
    assert done.returncode == 0, done.stderr
    assert SHOWN in next(line for line in done.stderr.splitlines() if line.startswith("jitkit: weights: began as"))
    assert all(line.startswith(("jitkit: ", "step ")) for line in done.stderr.splitlines())
