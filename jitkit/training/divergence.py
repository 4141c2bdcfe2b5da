"""What is known of a batch whose loss or gradient was not finite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jitkit import parallel
from jitkit.storage.atomic import write_file


def write_report(folder: Path, step: int, facts: Mapping[str, object]) -> Path:
    """Write `diverged_step_{N}.json`: the figure and where the batch's windows start in the training text.

    Of a group of processes the leader writes it.
    """
    path = folder / f"diverged_step_{step}.json"
    if parallel.is_main_process():
        write_file(path, (json.dumps({"step": step, **facts}, indent=2) + "\n").encode())
    return path
