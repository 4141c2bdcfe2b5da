"""How a trained model is read: with which metrics, under which settings of its sampler and the like."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.ablation.grid import Grid
from jitkit.ablation.points import GridPoint, product
from jitkit.errors import ManifestError, Problem, shown
from jitkit.kinds import INFERENCE_TABLES, is_among

TABLES = ("eval", *INFERENCE_TABLES)  # what a measurement may set: nothing that says what the network is


@dataclass(frozen=True)
class EvalSetting:
    """One measurement of every trained model."""

    table: str  # NAME of `[eval.NAME]`
    point: GridPoint  # on the axes of that table
    overrides: tuple[str, ...]  # laid over the manifest that the checkpoint holds

    @property
    def name(self) -> str:
        """What messages and files call it."""
        return f"{self.table}, {self.point.name}" if self.point.name else self.table


def eval_settings(grid: Grid) -> list[EvalSetting]:
    """Return the measurements that a grid asks for, each `[eval.NAME]` at every point of its axes.

    Raises ManifestError for a setting that would make another network.
    """
    found: list[EvalSetting] = []
    for name, measured in grid.eval.items():
        metrics = () if measured.metrics is None else (f"eval.metrics={_list(measured.metrics)}",)
        found += [
            EvalSetting(name, point, (*metrics, *measured.set, *point.overrides)) for point in product(measured.axes)
        ]
    problems = [
        Problem(
            shown(key), f"a key of {', '.join(TABLES)}, such as sampler.gamma", grid.source.origin, field=setting.name
        )
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


def _list(names: tuple[str, ...]) -> str:
    return str(list(names))
