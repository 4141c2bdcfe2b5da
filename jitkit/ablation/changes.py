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
        old, new = before.cells, now.cells
        both = sorted(old.keys() & new.keys())
        keys = {
            run: sorted(key for key in old[run] | new[run] if old[run].get(key) != new[run].get(key)) for run in both
        }
        return cls(sorted(new.keys() - both), sorted(old.keys() - both), {run: keys[run] for run in both if keys[run]})

    def require_none(self, out: Path, grid: str) -> None:
        """Raise UsageError if there are differences."""
        keys = sorted({key for names in self.changed.values() for key in names})
        parts = [
            (len(self.changed), f"with a different {_some(keys)}"),
            (len(self.new), f"new ({_some(self.new)})"),
            (len(self.gone), f"gone ({_some(self.gone)})"),
        ]
        if found := ", ".join(f"{count} {what}" for count, what in parts if count):
            hint = (
                "--accept-changes keeps unchanged runs and retrains the others (their earlier versions move to"
                f" {REPLACED}/); --out chooses another folder."
            )
            expected = f"the grid in {out / 'grid.json'}"
            raise UsageError(f"a changed grid (runs: {found})", expected, file=grid, hint=hint)

    def set_aside(self, out: Path) -> None:
        """Move runs whose recipe has changed to `REPLACED`. Nothing is deleted."""
        for run in (Path(folder) for folder in self.changed if (out / folder).exists()):
            make_folder(out / REPLACED)
            stem, number = "+".join(run.parts), 1
            while (target := out / REPLACED / f"{stem}-{number}").exists():
                number += 1
            (out / run).rename(target)
            sync_folder(target.parent)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
