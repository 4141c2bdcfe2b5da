"""Narrow and plain terminals, terminals without color, and output that is not a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.core.cli.conftest import ENVIRONMENT, run, run_on_a_terminal

COLOR = re.compile(r"\x1b\[[\d;]*[34]\d(;[\d;]*)?m")  # foreground or background
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_without_arguments_the_help_is_printed() -> None:
    done = run()
    assert done.returncode == 2
    assert done.stdout == run("--help").stdout
    assert not done.stderr


@pytest.mark.slow
def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("zoo", "check", "jit-nano")  # which shows a bar while torch is imported
    assert COLOR.search(run_on_a_terminal(*command)[1])
    monkeypatch.setitem(ENVIRONMENT, "NO_COLOR", "1")
    code, screen = run_on_a_terminal(*command)
    assert code == 0
    assert "checking" in screen
    assert not COLOR.search(screen)


@pytest.mark.parametrize("command", [("zoo", "list"), ("zoo", "show", "jit-nano"), ("plugins", "list")])
def test_a_narrow_terminal_shows_all_words(command: tuple[str, ...]) -> None:
    wide, narrow = (run(*command, COLUMNS=str(columns)) for columns in (1000, 20))
    assert narrow.returncode == 0
    assert set(re.findall(r"\w{4,}", wide.stdout)) <= set(re.findall(r"\w{4,}", narrow.stdout))
    code, screen = run_on_a_terminal(*command, columns=20)
    assert code == 0
    assert "Traceback" not in screen


def test_an_error_on_a_narrow_terminal_is_one_line() -> None:
    assert run("zoo", "show", "nothing", COLUMNS="20").stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("--help",), ("zoo", "list"), ("zoo", "show", "jit-nano"), ("zoo", "list", "--json")]
)
def test_an_ascii_locale_gets_ascii(command: tuple[str, ...]) -> None:
    done = run(*command, **ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_bars_are_ascii_in_an_ascii_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ASCII.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    code, screen = run_on_a_terminal("zoo", "check", "jit-nano")
    assert code == 0, screen
    assert "checking" in screen
    assert screen.isascii()
    assert "\\u" not in screen


def test_an_error_in_an_ascii_locale_escapes_what_it_quotes() -> None:
    done = run("zoo", "show", "déjà.toml", **ASCII)
    assert done.returncode == 3
    assert done.stderr.isascii()
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("color", [{}, {"FORCE_COLOR": "1"}])
def test_a_pipe_gets_no_bars(tmp_path: Path, color: dict[str, str]) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
    done = run("encode", tmp_path / "text.txt", "--manifest", "jit-nano", "-o", tmp_path / "album", **color)
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        assert not re.search("[\x1b\r━]", text)
