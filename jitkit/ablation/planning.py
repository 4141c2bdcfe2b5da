"""Check a whole grid before the first run trains: resolve every run, build it without memory, and estimate its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from jitkit.ablation.eval_settings import EvalSetting, key_of
from jitkit.ablation.grid import Grid
from jitkit.ablation.grid_run import GridRun, file_name
from jitkit.ablation.points import GridPoint, grid_points
from jitkit.assembly import Components, assemble
from jitkit.discovery import PluginManager
from jitkit.errors import ManifestError, Problem
from jitkit.progress import Progress, silent
from jitkit.recipe import open_recipe
from jitkit.training.setup import DryRun, dry_run


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
        return open_recipe(self.manifest, data=self.data, overrides=overrides, manager=self.manager)

    def check(self, point: GridPoint, settings: Sequence[EvalSetting], progress: Progress) -> DryRun:
        """Return the dry run of a cell. Raises ManifestError, located in the grid file, if it cannot be trained."""
        own = overrides = [*self.grid.set, *point.overrides]
        where = f"cell {point.name}"
        try:
            if any(key_of(text) == "train.seed" for text in overrides):
                raise ManifestError("a seed in a cell", "the top-level key seeds", field="train.seed")
            found = dry_run(components := self.components(point), progress)
            shapes = _shapes(components)
            for setting in settings:
                overrides, where = [*own, *setting.overrides], f"cell {point.name}, eval {setting.name}"
                if _shapes(self.components(point, setting.overrides)) != shapes:
                    raise ManifestError("settings that change the network", "the shapes of the trained network")
        except ManifestError as error:
            raise ManifestError(
                problems=[self._located(problem, where, overrides) for problem in error.problems]
            ) from error
        return found

    def _located(self, problem: Problem, where: str, overrides: Sequence[str]) -> Problem:
        """Return a problem of a cell, located at the line of the grid that set the key, if there is one."""
        field = problem.field or ""
        key = next((key for key in map(key_of, reversed(overrides)) if _is_within(key, field)), None)
        located = replace(problem, field=f"{where}: {field}" if field else where)
        if key is None and problem.file not in (None, "--set"):
            return located
        lines = self.grid.source.text.splitlines()
        line = next((number for number, text in enumerate(lines, 1) if key and key in text), None)
        return replace(located, file=self.grid.source.origin, line=line)


def _is_within(key: str, field: str) -> bool:
    """Return whether the keys are equal or one is a table that contains the other."""
    return f"{field}.".startswith(f"{key}.") or (bool(field) and key.startswith(f"{field}."))


def _shapes(components: Components) -> dict[str, torch.Size]:
    network = assemble(components, device="meta").network
    return {name: value.shape for name, value in network.state_dict().items()}


def _name_clashes(grid: Grid, points: Sequence[GridPoint]) -> Iterator[Problem]:
    """Yield a problem for every cell whose folder name is already taken. Different cell names can give one folder name."""
    seen: dict[str, str] = {}
    for point in points:
        folder = file_name(point.name).casefold()
        if folder in seen:
            found = f"cells {point.name!r} and {seen[folder]!r}"
            yield Problem(found, "names that differ in letters or digits", grid.source.origin)
        seen[folder] = point.name


def _without_repeats(problems: Sequence[Problem]) -> list[Problem]:
    """Return each distinct problem once, for the first cell that has it."""
    first: dict[tuple[object, ...], Problem] = {}
    for problem in problems:
        key = (problem.field or "").partition(": ")[2]
        first.setdefault((problem.file, problem.line, key, problem.found), problem)
    return list(first.values())
