"""Output is not essential: a command whose output cannot be written still does its work.

The reader of a pipe may leave, a disk may be full, and a terminal may hang up. All text goes through the streams defined here,
which drop what cannot be written.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, TextIO, cast

SIZES = {"COLUMNS": (10, 10_000), "LINES": (4, 10_000)}  # environment variable: smallest and largest usable size


class LossyFile(io.RawIOBase):
    """The file under a text stream, without a buffer. It drops what cannot be written; `error` is the first error."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # an unused stream would close its file
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)  # `python -u` has no buffer
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        """Return whether this is a terminal that has not hung up."""
        return bool(self._raw.isatty())

    def write(self, data: Any) -> int:
        """Write everything, or drop the rest. Waits for a slow reader, even if the descriptor does not block."""
        rest = memoryview(data).cast("B")
        try:
            while rest:
                written = self._raw.write(rest)
                if written is None:
                    select.select((), (self._raw,), ())
                rest = rest[written or 0 :]
        except OSError as error:
            self.error = self.error or error
        return memoryview(data).nbytes


def lossy(stream: TextIO | None) -> TextIO:
    """Return a stream that never fails, for stdout or stderr of this process. None is a closed one: it drops everything.

    Other streams, such as those of a notebook, are returned as they are.
    """
    if stream is None or stream in (sys.__stdout__, sys.__stderr__):
        return _wrapped(stream)
    return stream


@cache
def _wrapped(stream: TextIO | None) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        nowhere = io.FileIO(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(nowhere), encoding="utf-8")
    return io.TextIOWrapper(
        cast(BinaryIO, LossyFile(stream)),
        encoding=stream.encoding,
        errors="backslashreplace",  # escape text in an ASCII locale
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def protect_streams() -> None:
    """Replace stdout and stderr of this process with streams that never fail.

    A descriptor that is closed gets /dev/null. Otherwise the next file that is opened would take its number, and what C
    libraries print would go there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout, sys.stderr = lossy(sys.stdout), lossy(sys.stderr)


def loss(stream: TextIO) -> OSError | None:
    """Return why text written to a stream of `lossy` was lost. None if all of it was written."""
    stream.flush()
    return getattr(getattr(stream, "buffer", None), "error", None)


@contextmanager
def may_be_lost(stream: TextIO) -> Iterator[None]:
    """Do not count what is lost inside the block."""
    before = loss(stream)
    yield
    if loss(stream) is not before:
        cast(LossyFile, stream.buffer).error = before


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drop what is printed on stderr inside the block: libraries in Rust print a stack trace before they raise an exception."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def fix_terminal_size(environ: MutableMapping[str, str]) -> None:
    """Remove an unusable terminal size, such as COLUMNS=0, from the environment, and limit one that is too large."""
    for name, (smallest, largest) in SIZES.items():
        text = environ.get(name, "")
        size = int(text) if text.isdecimal() and len(text) < 10 else 0
        if size < smallest:
            environ.pop(name, None)
        elif size > largest:
            environ[name] = str(largest)
