"""Tables on narrow terminals, and text from files on any terminal."""

from __future__ import annotations

import io
import re

import pytest

from jitkit.cli import console
from jitkit.terminal import Terminal
from tests.core.cli.conftest import run

NUMBER = re.compile(r"\d[\d.,]*")


@pytest.mark.slow
def test_no_number_is_cut_on_a_narrow_terminal() -> None:
    """If the columns do not fit, the same cells are printed row by row, one line per cell."""
    command = ("codec", "inspect", "bits", "code", "jit-nano", "--vocab-size", 64, "--num-tokens", 200)
    wide, narrow = (run(*command, COLUMNS=str(columns)).stdout for columns in (200, 30))
    assert "…" not in narrow
    assert max(map(len, wide.splitlines())) > 30
    assert sorted(set(NUMBER.findall(wide))) == sorted(set(NUMBER.findall(narrow)))


def printed(monkeypatch: pytest.MonkeyPatch, columns: int, *rows: list[str]) -> str:
    """Return the table of the rows at a width of `columns` characters."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(console, "out", Terminal(file=io.StringIO()))
    console.print_table(rows[0], rows[1:])
    return console.out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("columns", range(10, 70, 3))
def test_intervals_are_never_cut(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Cells of several words could shrink to their longest word, and lost the rest."""
    rows = (
        ["steps", "bits", "known words"],
        ["2", "≠ 7.444 [7.431, 7.457]", "0.000 [0.000, 0.658]"],
        ["held-out", "1 [0, 2]", "3"],
    )
    shown = printed(monkeypatch, columns, *rows)
    assert all(re.search(re.escape(cell).replace(r"\ ", r"\s+"), shown) for row in rows for cell in row)


@pytest.mark.parametrize("columns", range(10, 70, 3))
def test_a_name_is_on_one_line(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """The other lines of a name looked like rows without numbers."""
    name, interval = "reconstruction bits_per_character", "7.444 [7.431, 7.457]"
    assert name in printed(monkeypatch, columns, ["figure", "a"], [name, interval])


def test_a_table_shows_control_characters_and_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(monkeypatch, 100, ["\x1b[31m", "b"], [":100:", "[/x]\u202e"])
    assert "\\x1b[31m" in shown
    assert ":100:" in shown
    assert "[/x]\\u202e" in shown
