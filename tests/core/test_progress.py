"""Progress in a pipe and on a terminal."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from jitkit import progress
from jitkit.progress import MAX_SAMPLE, Display, display, progress_bars
from jitkit.terminal import Terminal


def lines_of(monkeypatch: pytest.MonkeyPatch, reports: list[tuple[str, int, int]], seconds: float) -> list[str]:
    """Return what a pipe gets for reports `seconds` apart, with a line every 0.2 s, the first after 0.1 s."""
    monkeypatch.setattr(progress, "FIRST_LINE", 0.1)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.2)
    console = Terminal(file=io.StringIO())
    with progress_bars(console) as show:
        for report in reports:
            show(*report)
            time.sleep(seconds)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_a_pipe_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, [("sampling", done, 100) for done in range(100)], 0.01)
    assert 2 <= len(lines) < 50
    assert all(re.fullmatch(r"jitkit: sampling: \d+%, \d:\d\d:\d\d left", line) for line in lines), lines


def test_a_task_that_does_not_report_prints_lines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, [("merging pieces", 0, 0)], 0.8)
    assert 2 <= len(lines) < 50
    assert all(line == "jitkit: merging pieces: 0:00:00" for line in lines), lines


def test_text_of_unknown_size_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(monkeypatch, [("reading", 1_500_000, 0)], 0.25)[0] == "jitkit: reading: 1.5 MB"


def test_a_short_task_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lines_of(monkeypatch, [("sampling", 1, 2), ("sampling", 2, 2)], 0.01)


def test_the_names_of_tasks_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    with progress_bars(Terminal(file=screen)) as show:
        show("[/x] :100:", 1, 2)
        show("working", 0, 0)
    assert "[/x] :100:" in screen.getvalue()
    assert "0/?" not in screen.getvalue()


class Screen(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("done", "shown"), [(0, False), (3, True)])
def test_a_run_without_steps_leaves_no_bar(done: int, shown: bool) -> None:
    """A run that was already finished has nothing to show."""
    screen = Screen()
    with display(Console(file=screen, force_terminal=True, width=90, _environ={"TERM": "xterm"}), 30, 2) as view:
        for step in range(1, done + 1):
            view.step({"step": step, "seconds": 1, "tokens_per_second": 9, "epoch": 1, "loss": 2})
    last = screen.getvalue().rpartition("\x1b[2K")[2]
    assert ("tokens/s" in last) == shown, repr(screen.getvalue())


def test_a_sample_is_one_short_line_without_escapes() -> None:
    file = io.StringIO()
    Display(Terminal(file=file), 9, 1).sample(3, "\x1b[31m[bold] :100:\nsecond line " + "long " * 100)
    line = file.getvalue()
    assert line.startswith("step 3/9  sample: \\x1b[31m[bold] :100:\\nsecond line long")
    assert line.endswith("...\n")
    assert line.count("\n") == 1
    assert len(line.partition("sample: ")[2]) == MAX_SAMPLE + 1
