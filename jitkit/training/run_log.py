"""`metrics.jsonl`: its lines, and cutting it back to the step from which a run continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitkit.errors import InputError
from jitkit.filesystem import is_file, read_bytes
from jitkit.storage.atomic import write_file

Line = dict[str, Any]


def read_log(path: Path, note: Callable[[str], None] = lambda _: None) -> list[Line]:
    """Return the lines of a log. A last line that is not complete, as after a kill or on a full disk, is noted and left out.

    Raises InputError for any other line that is damaged, because cutting it would lose those that follow.
    """
    lines = read_bytes(path).split(b"\n")
    while lines and not lines[-1]:
        lines.pop()
    log = []
    for number, text in enumerate(lines, 1):
        line = _parsed(text)
        if line is not None:
            log.append(line)
        elif number == len(lines):
            note(f"{path}:{number}: the last line is not complete and is left out")
        else:
            hint = "Correct or remove the line. The lines that follow are kept."
            raise InputError("a damaged line", "a JSON object with a step", file=path, line=number, hint=hint)
    return log


def _parsed(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and type(line.get("step")) is int else None


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
