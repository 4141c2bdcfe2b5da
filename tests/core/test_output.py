"""Streams that never fail, and text shown as it is."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TextIO

import pytest

from jitkit.output import LossyFile, fix_terminal_size, loss, may_be_lost
from jitkit.terminal import Terminal

FULL = Path("/dev/full")


def lossy_copy(file: TextIO) -> TextIO:
    return io.TextIOWrapper(LossyFile(file))


def test_text_for_a_full_disk_is_dropped_and_the_reason_kept() -> None:
    with FULL.open("w") as file:
        stream = lossy_copy(file)
        for _ in range(3):
            print("x" * 100_000, file=stream)
        error = loss(stream)
    assert error is not None
    assert error.strerror == "No space left on device"


def test_a_loss_may_be_declared_unimportant() -> None:
    with FULL.open("w") as file:
        stream = lossy_copy(file)
        with may_be_lost(stream):
            print("summary", file=stream)
        assert loss(stream) is None
        print("result", file=stream)
        assert loss(stream) is not None


def test_a_slow_reader_gets_everything_from_a_descriptor_that_does_not_block() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = bytearray()

    def read() -> None:
        while data := os.read(reader, 4096):
            received.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writer, "w") as file:
        stream = lossy_copy(file)
        stream.write("x" * 1_000_000)
        assert loss(stream) is None
    thread.join()
    os.close(reader)
    assert len(received) == 1_000_000


def test_strings_are_printed_as_they_are() -> None:
    file = io.StringIO()
    Terminal(file=file).print(":100: [/x] [bold]b[/bold] 1.5", "\x1b[31m\u202e\ttab")
    assert file.getvalue() == ":100: [/x] [bold]b[/bold] 1.5 \\x1b[31m\\u202e" + file.getvalue().partition("202e")[2]
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("size", ["0", "1", "-5", "x", "²", "", " "])
def test_an_unusable_terminal_size_is_ignored(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", size)
    assert Terminal(file=io.StringIO()).width >= 10
    environ = {"COLUMNS": size}
    fix_terminal_size(environ)
    assert not environ


def test_a_huge_terminal_size_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "999999999")
    assert Terminal(file=io.StringIO()).width == 10_000


def test_a_console_on_a_stream_that_fails_does_not_end_the_program() -> None:
    """Rich would raise SystemExit(1)."""
    reader, writer = os.pipe()
    os.close(reader)
    file = os.fdopen(writer, "w")
    Terminal(file=file).print("one")
    with pytest.raises(BrokenPipeError):
        file.close()
