"""The console that all commands print with."""

from __future__ import annotations

import os
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from jitkit.errors import visible
from jitkit.output import fix_terminal_size, lossy


def is_interactive(console: Console) -> bool:
    """Return whether a console can redraw lines. FORCE_COLOR does not make a pipe a terminal, nor TERM=dumb a screen."""
    return console.file.isatty() and not console.is_dumb_terminal


def print_note(console: Console, text: str) -> None:
    """Print a message as one line, whatever it quotes."""
    console.print(f"jitkit: {visible(text)}", markup=False, highlight=False, emoji=False, soft_wrap=True)


class Terminal(Console):
    """A console that never fails. It shows strings as they are: no markup or emoji codes, control characters escaped.

    Only a `Text` may contain them; code that makes one from a file's text calls `visible`.
    """

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None, soft_wrap: bool = True) -> None:
        environ = dict(os.environ)
        fix_terminal_size(environ)
        super().__init__(
            stderr=stderr,
            file=file,
            soft_wrap=soft_wrap,
            highlight=False,
            markup=False,
            emoji=False,
            _environ=environ,
        )

    @property
    def file(self) -> IO[str]:
        """The stream, which never fails."""
        return lossy(cast(TextIO, super().file))

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    @property
    def encoding(self) -> str:
        """The encoding of the stream, which decides whether bars and boxes are ASCII."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def on_broken_pipe(self) -> None:
        """Print nothing more on a stream that is not of this process and whose reader has left."""
        self.quiet = True

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` with control characters escaped."""
        return super().render_str(visible(text, keep="\n\t"), **options)
