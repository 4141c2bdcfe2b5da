"""Detect that a grid has changed since its folder was started, and move replaced runs away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jitkit.ablation.folder import Recipes
from jitkit.errors import UsageError
from jitkit.storage.atomic import make_folder, sync_folder

REPLACED = "replaced"  # folder for runs of an earlier recipe


@dataclass(frozen=True)
class GridChanges:
    """Differences between two versions of a grid, by run folder."""

    new: list[str]
    gone: list[str]
    changed: dict[str, list[str]]  # folder -> keys

    @classmethod
    def between(cls, before: Recipes, now: Recipes) -> GridChanges:
        """Return the differences."""
        both = sorted(before.cells.keys() & now.cells.keys())
        keys = {folder: _different_keys(before.cells[folder], now.cells[folder]) for folder in both}
        return cls(
            new=sorted(now.cells.keys() - both),
            gone=sorted(before.cells.keys() - both),
            changed={folder: names for folder, names in keys.items() if names},
        )

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.changed)

    def __str__(self) -> str:
        keys = sorted({key for names in self.changed.values() for key in names})
        parts = [
            (len(self.changed), f"with a different {_some(keys)}"),
            (len(self.new), f"new ({_some(self.new)})"),
            (len(self.gone), f"gone ({_some(self.gone)})"),
        ]
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def require_unchanged(changes: GridChanges, out: Path, grid: str) -> None:
    """Raise UsageError if the grid differs from the one its folder was started with."""
    if changes:
        raise UsageError(
            f"a changed grid (runs: {changes})",
            f"the grid in {out / 'grid.json'}",
            file=grid,
            hint="--accept-changes keeps unchanged runs and retrains the others (their earlier versions move to"
            f" {REPLACED}/); --out chooses another folder.",
        )


def set_aside(changes: GridChanges, out: Path) -> None:
    """Move runs whose recipe has changed to `REPLACED`. Nothing is deleted."""
    for folder in changes.changed:
        run = out / folder
        if run.exists():
            make_folder(out / REPLACED)
            stem, number = folder.replace("/", "+"), 1
            while (target := out / REPLACED / f"{stem}-{number}").exists():
                number += 1
            run.rename(target)
            sync_folder(target.parent)


def _different_keys(before: dict[str, object], now: dict[str, object]) -> list[str]:
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
