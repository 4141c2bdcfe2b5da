"""A table that a spreadsheet opens."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from jitkit.component import Component
from jitkit.storage.atomic import cannot_write

COLUMNS = ("step", "name", "value")


class CsvTracker(Component):
    """`metrics.csv` in the run's folder: one row a number (step, name, value); a run that goes on adds to it."""

    name: ClassVar[str] = "csv"

    def build(self, folder: Path) -> OpenTable:
        """Open the table. Raises ResourceError when the folder cannot be written."""
        return OpenTable(folder / "metrics.csv")


class OpenTable:
    """An open `metrics.csv`; every row reaches the system at once."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise cannot_write(path, error) from error
        self._writer = csv.writer(self._file)
        if not self._file.tell():
            self._writer.writerow(COLUMNS)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row for each number but the step itself."""
        self._writer.writerows((step, name, value) for name, value in values.items() if name != "step")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
