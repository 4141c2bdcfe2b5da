"""The runs of a grid, all resolved, built without memory, and costed before the first one trains."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from jitkit.ablation.grid import EvalSetting, Grid, GridPoint, grid_points, key_of
from jitkit.assembly import Components, assemble
from jitkit.discovery import PluginManager
from jitkit.errors import ManifestError, Problem
from jitkit.progress import Progress, silent
from jitkit.recipe import open_recipe
from jitkit.training.manifest_differences import FREE
from jitkit.training.setup import DryRun, dry_run

# A recipe has no settings that a resumed run may change, except its length.
EXCLUDED = FREE - {("train", "epochs"), ("train", "max_steps")}
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
        return {"data.fingerprint": self.dry_run.fingerprint, **dict(_flat(manifest))}


def file_name(name: str) -> str:
    """Return a deterministic file name for `name` that is valid on every file system."""
    plain = re.sub(r"[^\w.=+-]+", "-", name.replace(", ", "+")).strip("-.") or "-"
    if len(plain.encode()) <= MAX_FOLDER:
        return plain
    return f"{plain.encode()[: MAX_FOLDER - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _flat(table: dict[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each value by its dotted key, except keys in `EXCLUDED`."""
    for key, value in table.items():
        location = (*parents, key)
        if location not in EXCLUDED:
            yield from _flat(value, location) if isinstance(value, dict) else [(".".join(location), value)]


def plan_runs(
    grid: Grid,
    settings: Sequence[EvalSetting],
    manager: PluginManager,
    *,
    data: Path | None = None,
    progress: Progress = silent,
) -> list[GridRun]:
    """Return the runs of a grid in training order: every cell with the first seed, then with the next.

    Every cell is built on the `meta` device, also with every evaluation setting, and its text is prepared. Raises
    ManifestError with all problems at once, and what preparing the text raises.
    """
    planner = _Planner(grid, grid.find_manifest(manager), manager, data)
    points = grid_points(grid)
    problems = list(_name_clashes(grid, points))
    dry_runs: dict[str, DryRun] = {}
    for point in points:
        try:
            dry_runs[point.name] = planner.check(point, settings, progress)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems=_without_repeats(problems))
    return [
        GridRun(point, seed, planner.components(point, (f"train.seed={seed}",)), dry_runs[point.name])
        for seed in grid.seeds
        for point in points
    ]


@dataclass(frozen=True)
class _Planner:
    """Resolves and checks the cells of a grid."""

    grid: Grid
    manifest: Path
    manager: PluginManager
    data: Path | None

    def components(self, point: GridPoint, more: Sequence[str] = ()) -> Components:
        """Return the components of a cell with additional overrides."""
        overrides = [*self.grid.set, *point.overrides, *more]
        return open_recipe(self.manifest, data=self.data, overrides=overrides, manager=self.manager, from_file=True)

    def check(self, point: GridPoint, settings: Sequence[EvalSetting], progress: Progress) -> DryRun:
        """Return the dry run of a cell. Raises ManifestError, located in the grid file, if it cannot be trained."""
        own = overrides = [*self.grid.set, *point.overrides]
        where = f"cell {point.name}"
        try:
            if any(key_of(text) == "train.seed" for text in overrides):
                raise ManifestError("a seed in a cell", "the top-level key seeds", field="train.seed")
            components = self.components(point)
            if components.manifest.train.minutes is not None:
                expected = "epochs or max_steps, because all runs of a grid need the same number of steps"
                raise ManifestError("a time budget", expected, field="train.minutes")
            found = dry_run(components, progress)
            shapes = _shapes(components)
            for setting in settings:
                overrides, where = [*own, *setting.overrides], f"cell {point.name}, eval {setting.name}"
                if _shapes(self.components(point, setting.overrides)) != shapes:
                    raise ManifestError("settings that change the network", "the shapes of the trained network")
        except ManifestError as error:
            problems = [self._located(problem, where, overrides) for problem in error.problems]
            raise ManifestError(problems=problems) from error
        return found

    def _located(self, problem: Problem, where: str, overrides: Sequence[str]) -> Problem:
        """Return a problem of a cell, located at the line of the grid that set the key, if there is one."""
        field = problem.field or ""
        key = next((key for key in map(key_of, reversed(overrides)) if _is_within(key, field)), None)
        located = replace(problem, field=f"{where}: {field}" if field else where)
        if key is None and problem.file not in (None, "--set"):
            return located
        lines = self.grid.source.text.split("\n")
        line = next((number for number, text in enumerate(lines, 1) if key and key in text), None)
        return replace(located, file=self.grid.source.origin, line=line)


def _is_within(key: str, field: str) -> bool:
    """Return whether the keys are equal or one is a table that contains the other."""
    return f"{field}.".startswith(f"{key}.") or (bool(field) and key.startswith(f"{field}."))


def _shapes(components: Components) -> dict[str, torch.Size]:
    weights = assemble(components, device="meta").network.state_dict()
    return {name: value.shape for name, value in weights.items()}


def _name_clashes(grid: Grid, points: Sequence[GridPoint]) -> Iterator[Problem]:
    """Yield a problem for every cell whose folder name is already taken. Different cell names can give one folder name."""
    seen: dict[str, str] = {}
    for name in (point.name for point in points):
        if other := seen.get(folder := file_name(name).casefold()):
            found = f"cells {name!r} and {other!r}"
            yield Problem(found, "names that differ in letters or digits", grid.source.origin)
        seen[folder] = name


def _without_repeats(problems: Sequence[Problem]) -> list[Problem]:
    """Return each distinct problem once, for the first cell that has it."""
    first: dict[tuple[object, ...], Problem] = {}
    for problem in problems:
        key = (problem.field or "").partition(": ")[2]
        first.setdefault((problem.file, problem.line, key, problem.found), problem)
    return list(first.values())
