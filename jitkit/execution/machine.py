"""The machine in words, for the provenance of results."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def describe_machine(device: torch.device) -> str:
    """Return processor or GPU, threads, operating system, and Python version."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return (
        f"{name}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    """Return the processor's model name if the system reports it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
