"""How each trained model is evaluated: metrics, sampler settings, and so on."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.ablation.grid import Grid
from jitkit.ablation.points import GridPoint, product
from jitkit.errors import ManifestError, Problem, shown
from jitkit.kinds import INFERENCE_TABLES, is_among

TABLES = ("eval", *INFERENCE_TABLES)  # an evaluation cannot change the network


@dataclass(frozen=True)
class EvalSetting:
    """One evaluation of every trained model: an `[eval.NAME]` table at one point of its axes."""

    table: str  # NAME
    point: GridPoint
    overrides: tuple[str, ...]  # applied to the manifest in the checkpoint

    @property
    def name(self) -> str:
        """Name in messages and file names."""
        return f"{self.table}, {self.point.name}" if self.point.name else self.table


def eval_settings(grid: Grid) -> list[EvalSetting]:
    """Return each `[eval.NAME]` of a grid at every point of its axes.

    Raises ManifestError for a setting that would change the network.
    """
    found: list[EvalSetting] = []
    for name, table in grid.eval.items():
        metrics = () if table.metrics is None else (f"eval.metrics={list(table.metrics)}",)
        found += [EvalSetting(name, point, (*metrics, *table.set, *point.overrides)) for point in product(table.axes)]
    expected = f"a key of {', '.join(TABLES)}, such as sampler.gamma"
    problems = [
        Problem(shown(key), expected, grid.source.origin, field=setting.name)
        for setting in found
        for key in map(key_of, setting.overrides)
        if not is_among(key, TABLES)
    ]
    if problems:
        raise ManifestError(problems=problems)
    return found


def key_of(override: str) -> str:
    """Return the key of "KEY=VALUE"."""
    return override.partition("=")[0].strip()
