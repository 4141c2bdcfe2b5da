"""The folder of a grid: the recipe of every run (`grid.json`), its outcome (`cell.json`), its evaluation reports, and locks.

A changed grid is detected here, and the runs that it replaces move away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from jitkit.ablation.grid import EvalSetting
from jitkit.ablation.planning import GridRun, file_name
from jitkit.documents.document import Document, read_document
from jitkit.documents.log import read_log
from jitkit.errors import InputError, UsageError
from jitkit.files import require_members
from jitkit.filesystem import exists, read_bytes
from jitkit.manifest.reader import current_keys
from jitkit.storage.atomic import make_folder, sync_folder, write_file, writing

REPLACED = "replaced"  # folder for runs of an earlier recipe


class Outcome(Document):
    """How a run ended."""

    outcome: Literal["trained", "diverged"]
    loss: float | None = None  # final validation loss
    best_loss: float | None = None
    seconds: float  # of all steps, without validation
    reason: str = ""  # of a divergence


class Recipes(Document):
    """The runs of a grid when they were started."""

    grid: str
    cells: dict[str, dict[str, Any]]  # recipe by run folder


@dataclass(frozen=True)
class GridFolder:
    """Paths and records in the folder of a grid."""

    path: Path

    @property
    def recipes_file(self) -> Path:
        """Path of `grid.json`."""
        return self.path / "grid.json"

    def recipes(self) -> Recipes | None:
        """Return the recipes of the grid in this folder, with the current names of keys; None in a new folder.

        Raises RefusedError if a run would lie outside of the folder.
        """
        if not exists(self.recipes_file):
            return None
        recorded = read_document(self.recipes_file, Recipes)
        require_members(recorded.cells, file=self.recipes_file, field="cells")
        return Recipes(grid=recorded.grid, cells={run: current_keys(recipe) for run, recipe in recorded.cells.items()})

    def run(self, run: GridRun) -> Path:
        """Return the folder of a run."""
        return self.path / run.folder

    def outcome(self, run: GridRun) -> Outcome | None:
        """Return the outcome of a run; None before it ends."""
        path = self.run(run) / "cell.json"
        return read_document(path, Outcome) if exists(path) else None

    def report_file(self, run: GridRun, setting: EvalSetting) -> Path:
        """Return the path of an evaluation report."""
        return self.run(run) / "eval" / f"{file_name(setting.name)}.json"

    def report(self, run: GridRun, setting: EvalSetting) -> dict[str, Any] | None:
        """Return an evaluation report; None if there is none for these overrides. Raises InputError for a damaged file."""
        path = self.report_file(run, setting)
        if not exists(path):
            return None
        try:
            report = json.loads(read_bytes(path))
        except ValueError as error:
            raise InputError("invalid JSON", "a report written by jitkit ablate", file=path) from error
        return report if report.get("set") == eval_overrides(run, setting) else None


def eval_overrides(run: GridRun, setting: EvalSetting) -> list[str]:
    """Return the overrides of an evaluation, including the run's own `[eval]`, which may change after training."""
    own = run.components.manifest.eval
    metrics, times = f"eval.metrics={list(own.metrics)}", f"eval.times={list(own.times)}"
    return [metrics, times, f"eval.num_windows={own.num_windows}", *setting.overrides]


def seconds_of(metrics: Path) -> float:
    """Return the total time of all training steps in a `metrics.jsonl`. Raises InputError if it is damaged."""
    return float(sum(line["seconds"] for line in read_log(metrics) if "lr" in line))


def write_json(document: Document | Mapping[str, Any], path: Path) -> None:
    """Write a document as JSON. Raises ResourceError if `path` cannot be written."""
    values = document.model_dump(mode="json") if isinstance(document, Document) else document
    write_file(
        path, (json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode(errors="replace")
    )


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
        changed = {
            run: sorted(key for key in old[run] | new[run] if old[run].get(key) != new[run].get(key))
            for run in sorted(run for run in old.keys() & new.keys() if old[run] != new[run])
        }
        return cls(sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys()), changed)

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
        for run in (Path(folder) for folder in self.changed if exists(out / folder)):
            make_folder(out / REPLACED)
            stem, number = "+".join(run.parts), 1
            while exists(target := out / REPLACED / f"{stem}-{number}"):
                number += 1
            (out / run).rename(target)
            sync_folder(target.parent)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


@contextmanager
def try_lock(run: Path) -> Iterator[bool]:
    """Hold the lock of a run during the block; yield False if another process holds it.

    The lock file lies next to the run folder. Raises ResourceError if it cannot be written.
    """
    make_folder(run.parent)
    lock = FileLock(run.with_name(f".{run.name}.lock"), timeout=0)
    with writing(run), suppress(Timeout):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()
