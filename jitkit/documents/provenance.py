"""How a result was produced: command, machine, versions, manifest, and checkpoint."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from jitkit.documents.document import Document


class Provenance(Document):
    """Everything needed to reproduce a result."""

    command: str = Field(description="the command line, exactly")
    machine: str = Field(description="processor, system, and device in words")
    versions: dict[str, str] = Field(description="of jitkit, torch and every plugin's distribution")
    manifest: str = Field(description="the resolved manifest, TOML")
    checkpoint_sha256: str | None = Field(default=None, description="of the checkpoint file; absent during training")


def provenance(
    manifest: str, versions: Mapping[str, str], machine: str, checkpoint_sha256: str | None = None
) -> Provenance:
    """Return the provenance of what this process produces; `machine` comes from `jitkit.execution.machine`."""
    return Provenance(
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        machine=machine,
        versions=dict(versions),
        manifest=manifest,
        checkpoint_sha256=checkpoint_sha256,
    )
