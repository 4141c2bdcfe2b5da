"""Every recorded grid can still be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitkit.ablation.grid import eval_settings, read_grid
from jitkit.ablation.planning import GridRun, plan_runs
from jitkit.discovery import create_plugin_manager
from jitkit.errors import JitkitError
from tests.docs.pages import ROOT

GRIDS = sorted((ROOT / "research" / "grids").glob("*.toml"))


def plan(path: Path, folder: Path) -> list[GridRun]:
    text = folder / "novel.txt"
    text.write_text("It was the best of times, it was the worst of times.\n" * 400)
    grid = read_grid(path)
    alone = [{name: axis} for name, axis in grid.axes.items()] or [{}]  # all combinations would take a minute
    grids = [grid.model_copy(update={"axes": axes}) for axes in alone]
    manager = create_plugin_manager()
    return [run for grid in grids for run in plan_runs(grid, eval_settings(grid), manager, data=text)]


@pytest.mark.slow
@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_grid_can_be_planned(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the values of one axis at a time. The grid of codebooks lacks only the codebook that is fitted before it runs."""
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    if path.stem == "codebooks":
        with pytest.raises(JitkitError) as caught:
            plan(path, tmp_path)
        assert [problem.file for problem in caught.value.problems] == [str(ROOT / "zoo" / "semantic.png")]
    else:
        assert plan(path, tmp_path)
