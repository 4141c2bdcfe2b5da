"""Arguments shared by the functions of the Python API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from jitkit.errors import JitkitError, UsageError, in_python
from jitkit.manifest.writer import override_text
from jitkit.progress import Progress, progress_bars
from jitkit.terminal import Terminal

Overrides = Mapping[str, Any] | Sequence[str]
"""Manifest keys and their new values, ``{"train.lr": 3e-4}``, or strings as in ``--set``."""

ShowProgress = bool | Progress
"""Whether to show progress on stderr, or a function that is called with (task, done, total) as a task advances."""


def override_texts(overrides: Overrides) -> list[str]:
    """Return overrides as the strings that `--set` takes."""
    if isinstance(overrides, Mapping):
        return [
            override_text(key, tuple(value) if isinstance(value, list) else value) for key, value in overrides.items()
        ]
    return list(overrides)


def given_path(value: str | Path | None, field: str) -> Path | None:
    """Return the path in an argument, or None. Raises UsageError for "", which would be the working folder."""
    if value == "":
        raise UsageError("an empty text", "a path", field=field)
    return None if value is None else Path(value)


@contextmanager
def arguments_named() -> Iterator[None]:
    """Let the message of a JitkitError name arguments, not options. Its problems, which commands print, stay."""
    try:
        yield
    except JitkitError as error:
        error.args = (in_python(str(error)),)
        raise


def console_of(progress: bool) -> Console:
    """Return a console on stderr, or one that prints nothing."""
    console = Terminal(stderr=True)
    console.quiet = not progress
    return console


@contextmanager
def shown(progress: ShowProgress) -> Iterator[Progress]:
    """Yield the function that receives the progress of tasks."""
    if not isinstance(progress, bool):
        yield progress
        return
    with progress_bars(console_of(progress)) as bars:
        yield bars
