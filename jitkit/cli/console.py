"""Printing for all commands. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich.measure import Measurement
from rich.text import Text

from jitkit.documents.rows import Row, differs_from_real, format_cell, misses_baseline
from jitkit.errors import RenamedKeyWarning, UnpinnedWarning, visible
from jitkit.output import may_be_lost
from jitkit.terminal import Terminal, print_note

if TYPE_CHECKING:
    from jitkit.progress import TaskProgress

out, err = Terminal(), Terminal(stderr=True)
MAX_WIDTH = 10_000  # characters; no table is wider


# What could control a terminal. `json.dumps` escapes the rest.
_CONTROL = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout. Raises ValueError for NaN, which would be a bug."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, ensure_ascii=not unicode, indent=2, allow_nan=False)
    sys.stdout.write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def print_result(document: Mapping[str, Any], as_json: bool, render: Callable[[], None]) -> None:
    """Print a document as JSON, or call `render` to print it for people."""
    if as_json:
        print_json(document)
    else:
        render()


def print_summary(document: Mapping[str, Any], as_json: bool, render: Callable[[], None]) -> None:
    """Print what a command that writes files has done, like `print_result`. Without a reader, nothing is lost."""
    with may_be_lost(sys.stdout):
        print_result(document, as_json, render)


def print_text(text: str, end: str = "\n") -> None:
    """Print the text of a model or file: unchanged in a pipe, with control characters escaped on a terminal."""
    if sys.stdout.isatty():
        out.print(text, end=end)
    else:
        sys.stdout.write(text + end)
        sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print each line on stdout."""
    for line in lines:
        out.print(line)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str | Text]], align: str = "lr") -> None:
    """Print a table. `align` has an `l` or `r` per column, and the last one repeats.

    Columns aligned left may wrap, except the first one: the other lines of a name would look like empty rows. A table that
    is too wide for the terminal is printed row by row, with one line per cell, so no number is ever cut.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    lines = [[Text(visible(cell)) if isinstance(cell, str) else cell for cell in row] for row in (header, *rows)]
    columns = zip(align.ljust(len(header), align[-1]), zip(*lines, strict=True), strict=True)
    for index, (side, column) in enumerate(columns):
        is_whole = side == "r" or index == 0
        width = max(cell.cell_len for cell in column) if is_whole else None
        justify: Literal["left", "right"] = "right" if side == "r" else "left"
        table.add_column(column[0], justify=justify, min_width=width, no_wrap=is_whole, overflow="fold")
    for row in lines[1:]:
        table.add_row(*row)
    if Measurement.get(out, out.options.update(width=MAX_WIDTH), table).minimum <= out.width:
        out.print(table, soft_wrap=False)
        return
    for first, *cells in zip(*(column.cells for column in table.columns), strict=True):
        out.print(*filter(None, header[:1]), first)
        for name, cell in zip(header[1:], cells, strict=True):
            if cell:
                out.print(f"  {visible(name)}:", cell)


def table_cell(row: Row, key: str, rows: Sequence[Row]) -> Text:
    """Return `row[key]` with its interval, marked if it misses the baseline or differs from held-out text in `rows`."""
    text = format_cell(row, key)
    if misses_baseline(row, key):
        return Text(f"{text} !", style="red")
    return Text(f"≠ {text}" if differs_from_real(row, rows, key) else text)


def note(text: str) -> None:
    """Print a message on stderr."""
    print_note(err, text)


def print_warnings_as_notes() -> None:
    """From now on, print each `RenamedKeyWarning` and `UnpinnedWarning` once as a note, regardless of warning filters."""
    kinds = (RenamedKeyWarning, UnpinnedWarning)
    default, shown = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, kinds):
            default(message, category, *place, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            note(str(message))

    warnings.showwarning = show
    for kind in kinds:
        warnings.simplefilter("always", kind)  # even if PYTHONWARNINGS turns warnings into errors


@contextmanager
def working(task: str) -> Iterator[TaskProgress]:
    """Show that a command is working on `task`, whose progress is unknown."""
    with show_progress() as progress:
        progress(task, 0, 0)
        yield progress


def show_progress(*, hidden: bool = False) -> AbstractContextManager[TaskProgress]:
    """Return a context with a function that shows the progress of tasks on stderr."""
    from jitkit.progress import progress_bars

    return progress_bars(err, hidden=hidden)


def debugging() -> bool:
    """Return whether to show tracebacks (`--debug`, or the environment variable JITKIT_DEBUG)."""
    return bool(os.environ.get("JITKIT_DEBUG"))
