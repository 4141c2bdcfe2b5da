"""CSV metrics."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from jitkit.component import Component
from jitkit.filesystem import is_file, read_bytes
from jitkit.storage.atomic import open_log, write_file

COLUMNS = ("step", "name", "value")


class CsvTracker(Component):
    """Write `metrics.csv` in the run folder, with the values of `metrics.jsonl`: one row (step, name, value) each."""

    name: ClassVar[str] = "csv"
    files: ClassVar[tuple[str, ...]] = ("metrics.csv",)

    def build(self, folder: Path) -> CsvLog:
        """Write the rows of the steps that the log has, and open the table. Raises ResourceError if that fails.

        So a resumed run neither repeats rows nor keeps rows of repeated steps or of a deleted run.
        """
        path, log = folder / "metrics.csv", folder / "metrics.jsonl"
        lines = map(json.loads, read_bytes(log).splitlines() if is_file(log) else ())
        rows = (row for values in lines for row in _rows(values["step"], values))
        write_file(path, _csv([COLUMNS, *rows]).encode())
        return CsvLog(path)


def _rows(step: int, values: Mapping[str, float]) -> Iterator[tuple[object, ...]]:
    return ((step, name, value) for name, value in values.items() if name != "step")


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


class CsvLog:
    """An open `metrics.csv`, flushed after every step."""

    def __init__(self, path: Path) -> None:
        self._file = open_log(path)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row for each value except the step."""
        self._file.write(_csv(_rows(step, values)))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
