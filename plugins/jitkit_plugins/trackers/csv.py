"""CSV metrics."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from jitkit.component import Component
from jitkit.storage.atomic import open_log

COLUMNS = ("step", "name", "value")


class CsvTracker(Component):
    """Write `metrics.csv` in the run folder, one row per value (step, name, value). A resumed run appends to it."""

    name: ClassVar[str] = "csv"

    def build(self, folder: Path) -> CsvLog:
        """Open the table. Raises ResourceError if the folder is not writable."""
        return CsvLog(folder / "metrics.csv")


class CsvLog:
    """An open `metrics.csv`, flushed after every step."""

    def __init__(self, path: Path) -> None:
        self._file = open_log(path)
        self._writer = csv.writer(self._file)
        if not self._file.tell():
            self._writer.writerow(COLUMNS)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row for each value except the step."""
        self._writer.writerows((step, name, value) for name, value in values.items() if name != "step")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
