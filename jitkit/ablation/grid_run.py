"""One training run of a grid: a grid point and a seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jitkit.ablation.points import GridPoint
from jitkit.assembly import Components
from jitkit.training.resume import FREE
from jitkit.training.setup import DryRun

LENGTH = {("train", "epochs"), ("train", "max_steps")}  # a resumed run may get longer, but that changes its recipe
MAX_FOLDER = 100  # bytes in a folder name


@dataclass(frozen=True)
class GridRun:
    """A grid point trained with one seed."""

    point: GridPoint
    seed: int
    components: Components
    dry_run: DryRun

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.point.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Path of the run folder, relative to the folder of the grid."""
        return Path(file_name(self.point.name), f"seed-{self.seed}")

    @property
    def kept_bytes(self) -> int:
        """Disk space of a finished run: its latest checkpoint, and the best one without optimizer state."""
        estimate = self.dry_run.estimate
        return 2 * estimate.checkpoint_bytes - estimate.memory.optimizer

    @property
    def text(self) -> Path | None:
        """The training text files; None for other data sources."""
        if not getattr(self.components.data, "reads_paths", False):
            return None
        path = self.components.manifest.data.options["path"]
        return self.components.files.path(str(path), field="data.path")

    @property
    def recipe(self) -> dict[str, Any]:
        """Every setting that affects the trained model, by dotted key."""
        manifest = self.components.manifest.model_dump(mode="json")
        return {"data.fingerprint": self.dry_run.fingerprint, **dict(_flat(manifest, FREE - LENGTH))}


def file_name(name: str) -> str:
    """Return a deterministic file name for `name` that is valid on every file system."""
    plain = re.sub(r"[^\w.=+-]+", "-", name.replace(", ", "+")).strip("-.") or "-"
    if len(plain.encode()) <= MAX_FOLDER:
        return plain
    return f"{plain.encode()[: MAX_FOLDER - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _flat(
    table: dict[str, Any], excluded: set[tuple[str, ...]], parents: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        location = (*parents, key)
        if location in excluded:
            continue
        if isinstance(value, dict):
            yield from _flat(value, excluded, location)
        else:
            yield ".".join(location), value
