"""A manifest with the old name of a key works and is noted once, by every command that opens manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.ablation.conftest import GRID
from tests.core.cli.conftest import run
from tests.tiny import tiny_toml

pytestmark = pytest.mark.slow

COMMANDS = (
    ("train", "tiny.toml", "--dry-run"),
    ("ablate", "grid.toml", "--dry-run"),
    ("data", "inspect", "tiny.toml"),
    ("tokenizer", "inspect", "tiny.toml"),
    ("codec", "inspect", "tiny.toml"),
    ("zoo", "check", "tiny.toml"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_renamed_key_is_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    text = "data={use='text', path='text.txt', validation_fraction=0.3}"
    recipe = tiny_toml("objective={use='codeword', token_posterior=true}", text)
    (tmp_path / "tiny.toml").write_text(recipe.replace("token_posterior = ", "reading = "))
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    (tmp_path / "grid.toml").write_text(GRID)
    monkeypatch.chdir(tmp_path)
    done = run(*command, JITKIT_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tiny.toml: objective.reading is now called objective.token_posterior\n") == 1
    assert "Warning" not in done.stderr
