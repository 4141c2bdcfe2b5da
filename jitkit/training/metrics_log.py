"""`metrics.jsonl`: one line per step or validation, in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jitkit.storage.atomic import cannot_write, write_file

TIMES = ("seconds", "tokens_per_second")  # keys that differ between identical runs


class MetricsLog:
    """An open `metrics.jsonl`. Every line is flushed before the next step starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, values: Mapping[str, object]) -> None:
        """Write one line. Raises ResourceError if that fails, for example because the disk is full."""
        try:
            self._file.write(json.dumps(values, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def truncate(path: Path, step: int, *, validated: bool) -> None:
    """Delete the lines of `metrics.jsonl` after `step`, so that a resumed run writes no line twice.

    A validation at `step` is kept only if the checkpoint was `validated`: after Ctrl-C, a run validates once more, which the
    uninterrupted run does not.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break  # the process was killed while writing this line
        if values["step"] > step or (values["step"] == step and "validation_loss" in values and not validated):
            break
        kept.append(line + "\n")
    write_file(path, "".join(kept).encode())
