"""How long a user waits for `jitkit --help`."""

from __future__ import annotations

import subprocess
import sys

import torch

from jitkit.bench.timing import as_json, repeated

HELP = [sys.executable, "-c", "from jitkit.cli import main; main()", "--help"]


def measure_startup() -> dict[str, object]:
    """Return seconds from the start of the process to its end."""

    def look_at_help() -> None:
        subprocess.run(HELP, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    return as_json(help_seconds=repeated(look_at_help, torch.device("cpu")))
