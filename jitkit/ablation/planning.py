"""All runs of a grid, each resolved, built without memory and counted before the first one trains."""

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
from jitkit.training.cost.dry_run import DryRun, dry_run


def plan_runs(
    grid: Grid,
    settings: Sequence[EvalSetting],
    manager: PluginManager,
    *,
    data: Path | None = None,
    progress: Progress = silent,
) -> list[GridRun]:
    """Return the runs of a grid, in the order they are trained: every cell with the first seed, then with the next.

    Every cell is built on the `meta` device, with the settings of every setting too, and its text is prepared; so what is
    wrong with the last cell is known before the first one trains. Raises ManifestError with every problem at once, and
    what preparing text raises.
    """
    shop = _Workshop(grid, grid.find_manifest(manager), manager, data)
    found = grid_points(grid)
    problems = [*_repeated(grid, found)]
    forecasts: dict[str, DryRun] = {}
    for point in found:
        try:
            forecasts[point.name] = shop.check(point, settings, progress)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems=_once(problems))
    return [
        GridRun(point, seed, shop.components(point, (f"train.seed={seed}",)), forecasts[point.name])
        for seed in grid.seeds
        for point in found
    ]


@dataclass(frozen=True)
class _Workshop:
    """Makes the components of cells."""

    grid: Grid
    manifest: Path
    manager: PluginManager
    data: Path | None

    def components(self, point: GridPoint, more: Sequence[str] = ()) -> Components:
        """Return the components of a cell, `more` laid over it."""
        overrides = [*self.grid.set, *point.overrides, *more]
        return open_recipe(self.manifest, data=self.data, overrides=overrides, manager=self.manager)

    def check(self, point: GridPoint, settings: Sequence[EvalSetting], progress: Progress) -> DryRun:
        """Return what a cell will take. Raises ManifestError, in the words of the grid, for one that cannot be trained."""
        own = overrides = [*self.grid.set, *point.overrides]
        where = f"cell {point.name}"
        try:
            if any(key_of(text) == "train.seed" for text in overrides):
                raise ManifestError("a seed in a cell", "the seeds of all cells in the key seeds", field="train.seed")
            found = dry_run(components := self.components(point), progress)
            shapes = _shapes(components)
            for setting in settings:
                overrides, where = [*own, *setting.overrides], f"cell {point.name}, eval {setting.name}"
                if _shapes(self.components(point, setting.overrides)) != shapes:
                    raise ManifestError("settings of another network", "the network that was trained")
        except ManifestError as error:
            raise ManifestError(
                problems=[self._placed(problem, where, overrides) for problem in error.problems]
            ) from error
        return found

    def _placed(self, problem: Problem, where: str, overrides: Sequence[str]) -> Problem:
        """Return a problem of a cell's manifest as one of the grid, with the line that set the key, where one did."""
        field = problem.field or ""
        key = next((key for key in map(key_of, reversed(overrides)) if _overlap(key, field)), None)
        place = replace(problem, field=f"{where}: {field}" if field else where)
        if key is None and problem.file not in (None, "--set"):
            return place
        lines = self.grid.source.text.splitlines()
        line = next((number for number, text in enumerate(lines, 1) if key and key in text), None)
        return replace(place, file=self.grid.source.origin, line=line)


def _overlap(key: str, field: str) -> bool:
    """Tell whether one is the other, or a table that holds it."""
    return f"{field}.".startswith(f"{key}.") or (bool(field) and key.startswith(f"{field}."))


def _shapes(components: Components) -> dict[str, torch.Size]:
    network = assemble(components, device="meta").network
    return {name: value.shape for name, value in network.state_dict().items()}


def _repeated(grid: Grid, found: Sequence[GridPoint]) -> Iterator[Problem]:
    """Yield a problem for every cell whose folder another one has: names may differ in what folders cannot."""
    seen: dict[str, str] = {}
    for point in found:
        folder = file_name(point.name).casefold()
        if folder in seen:
            yield Problem(
                f"cells {point.name!r} and {seen[folder]!r}",
                "names that differ in letters or digits",
                grid.source.origin,
            )
        seen[folder] = point.name


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems, each only of the first cell that has it."""
    first: dict[tuple[object, ...], Problem] = {}
    for problem in problems:
        key = (problem.field or "").partition(": ")[2]
        first.setdefault((problem.file, problem.line, key, problem.found), problem)
    return list(first.values())
