"""Under which conditions something was measured."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from jitkit.documents.schemas import Provenance


def provenance(
    manifest: str, versions: Mapping[str, str], device: torch.device, checkpoint: Path | None = None
) -> Provenance:
    """Return how this process was called, on which machine, with which `manifest` (TOML) and weights."""
    digest = None
    if checkpoint is not None:
        with checkpoint.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Provenance(
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        machine=_machine(device),
        versions=dict(versions),
        manifest=manifest,
        checkpoint_sha256=digest,
    )


def _machine(device: torch.device) -> str:
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return (
        f"{kind}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
