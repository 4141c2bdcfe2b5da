"""`metrics.jsonl`: one line a step or validation, in the order they happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jitkit.storage.atomic import cannot_write, write_file

TIMES = ("seconds", "tokens_per_second")  # keys that differ between equal runs


class MetricsLog:
    """An open `metrics.jsonl`; every line reaches the system before the next step starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, values: Mapping[str, object]) -> None:
        """Write one line. Raises ResourceError when the disk does not take it."""
        try:
            self._file.write(json.dumps(values, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def truncate(path: Path, step: int, *, validated: bool) -> None:
    """Cut `metrics.jsonl` back to what a checkpoint of `step` knows, so that the continued file has no line twice.

    A validation at that very step stays only where the checkpoint was `validated`: a run that was stopped looks at its
    validation loss after it saved, which the uninterrupted run does not.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break  # the process died in the middle of this line
        if values["step"] > step or (values["step"] == step and "validation_loss" in values and not validated):
            break
        kept.append(line + "\n")
    write_file(path, "".join(kept).encode())
