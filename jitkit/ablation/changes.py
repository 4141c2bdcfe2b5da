"""Whether a grid is still the one that its folder was begun with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jitkit.ablation.record import Recipes
from jitkit.errors import UsageError
from jitkit.storage.atomic import make_folder, sync_folder

REPLACED = "replaced"  # where runs of an earlier recipe are moved to


@dataclass(frozen=True)
class Changes:
    """What differs from the recipes of before, by the folders of cells."""

    new: list[str]
    gone: list[str]
    altered: dict[str, list[str]]  # folder -> keys

    @classmethod
    def between(cls, before: Recipes, now: Recipes) -> Changes:
        """Return what differs."""
        both = before.cells.keys() & now.cells.keys()
        keys = {
            folder: sorted(
                key
                for key in before.cells[folder].keys() | now.cells[folder].keys()
                if before.cells[folder].get(key) != now.cells[folder].get(key)
            )
            for folder in sorted(both)
        }
        return cls(
            new=sorted(now.cells.keys() - both),
            gone=sorted(before.cells.keys() - both),
            altered={folder: names for folder, names in keys.items() if names},
        )

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.altered)

    def __str__(self) -> str:
        keys = sorted({key for names in self.altered.values() for key in names})
        parts = [
            (len(self.altered), f"with another {_some(keys)}"),
            (len(self.new), f"new ({_some(self.new)})"),
            (len(self.gone), f"gone ({_some(self.gone)})"),
        ]
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def require_unchanged(changes: Changes, out: Path, grid: str) -> None:
    """Raise UsageError when a grid is not the one that its folder was begun with."""
    if changes:
        raise UsageError(
            f"a grid that has changed since it was begun (runs: {changes})",
            f"the grid of {out / 'grid.json'}",
            file=grid,
            hint=f"--accept-changes keeps the runs that are as before and trains the others anew (earlier ones go to"
            f" {REPLACED}/); --out chooses another folder.",
        )


def set_aside(changes: Changes, out: Path) -> None:
    """Move the runs whose recipe is another now out of the way, into `REPLACED`; nothing is deleted."""
    for folder in changes.altered:
        run = out / folder
        if run.exists():
            make_folder(out / REPLACED)
            stem, number = folder.replace("/", "+"), 1
            while (target := out / REPLACED / f"{stem}-{number}").exists():
                number += 1
            run.rename(target)
            sync_folder(target.parent)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
