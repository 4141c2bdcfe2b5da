"""The run time of `jitkit --help`."""

from __future__ import annotations

import subprocess
import sys

import torch

from jitkit.bench.timing import as_json, measure_seconds

HELP = [sys.executable, "-c", "from jitkit.cli import main; main()", "--help"]


def measure_startup() -> dict[str, object]:
    """Return the seconds from the start of the process to its end."""

    def run_help() -> None:
        subprocess.run(HELP, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    return as_json(help_seconds=measure_seconds(run_help, torch.device("cpu")))
