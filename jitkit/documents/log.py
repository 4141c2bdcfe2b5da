"""Reading `metrics.jsonl`, the log of a run: a JSON object with a step in each line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitkit.errors import InputError
from jitkit.filesystem import read_bytes

MAX_NUMBER = 2**53  # integers above are not exact as floats

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
    """Return a line, None if it is damaged: no object, without a step, or with a number that is not finite or too large."""
    try:
        line = json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and type(line.get("step")) is int else None


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > MAX_NUMBER:
        raise ValueError(text)
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
