"""One run of a grid: a point of it and a seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jitkit.ablation.points import GridPoint
from jitkit.assembly import Components
from jitkit.training.cost.dry_run import DryRun
from jitkit.training.resume import FREE

LENGTH = {("train", "epochs"), ("train", "max_steps")}  # a run may go on for longer, yet is another recipe then
MAX_FOLDER = 100  # bytes of a folder's name


@dataclass(frozen=True)
class GridRun:
    """One run of a grid."""

    point: GridPoint
    seed: int
    components: Components
    dry_run: DryRun

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.point.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its run lies inside the grid's folder."""
        return Path(file_name(self.point.name), f"seed-{self.seed}")

    @property
    def kept_bytes(self) -> int:
        """Bytes on the disk of a finished run: its newest checkpoint, and the best one without the optimizer."""
        estimate = self.dry_run.estimate
        return 2 * estimate.checkpoint_bytes - estimate.memory.optimizer

    @property
    def text(self) -> Path | None:
        """The text files that it is trained on; None where another source gives the text."""
        if not getattr(self.components.data, "reads_paths", False):
            return None
        path = self.components.manifest.data.options["path"]
        return self.components.files.path(str(path), field="data.path")

    @property
    def recipe(self) -> dict[str, Any]:
        """All that makes the trained model what it is, by dotted key."""
        manifest = self.components.manifest.model_dump(mode="json")
        return {"data.fingerprint": self.dry_run.fingerprint, **dict(_flat(manifest, FREE - LENGTH))}


def file_name(name: str) -> str:
    """Return a name that any file system takes, the same for the same text."""
    plain = re.sub(r"[^\w.=+-]+", "-", name.replace(", ", "+")).strip("-.") or "-"
    if len(plain.encode()) <= MAX_FOLDER:
        return plain
    return f"{plain.encode()[: MAX_FOLDER - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _flat(
    table: dict[str, Any], left_out: set[tuple[str, ...]], above: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        location = (*above, key)
        if location in left_out:
            continue
        if isinstance(value, dict):
            yield from _flat(value, left_out, location)
        else:
            yield ".".join(location), value
