"""Cutting `metrics.jsonl` back to the step from which a run continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from jitkit.documents.log import Line
from jitkit.filesystem import is_file
from jitkit.storage.atomic import write_file


def continue_log(path: Path, log: list[Line], step: int, *, validated: bool, note: Callable[[str], None]) -> None:
    """Cut a log that has been read back to `step`, so that a resumed run writes no line twice. Missing steps are noted.

    A validation at `step` is kept only if the checkpoint was `validated`: after Ctrl-C, a run validates once more, which the
    uninterrupted run does not. Raises ResourceError if the log cannot be written.
    """
    kept = [
        line
        for line in log
        if line["step"] < step or (line["step"] == step and (validated or "validation_loss" not in line))
    ]
    last = kept[-1]["step"] if kept else 0
    if kept and last < step:
        note(f"{path}: the log ends at step {last}; the lines up to step {step} were lost")
    if is_file(path):
        write_file(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
