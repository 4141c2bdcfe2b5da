"""A folder with a tiny manifest, a text, and a grid."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from jitkit.ablation.grid import eval_settings, read_grid
from jitkit.ablation.planning import GridRun, plan_runs
from jitkit.ablation.runner import Ablation
from jitkit.discovery import create_plugin_manager
from tests.training_lab import RECIPE

GRID = """
schema_version = 1
summary = "Which rate?"
manifest = "tiny.toml"
seeds = [1, 2]
set = ["data.path=text.txt", "train.epochs=1", "eval.num_windows=3", "eval.times=[0.5]"]

[axes]
"train.lr" = [1e-3, 1e-2]

[eval.loss]
metrics = ["validation"]
"""


@dataclass
class Workbench:
    """A folder for grids."""

    home: Path
    console: io.StringIO = field(default_factory=io.StringIO)

    @property
    def out(self) -> Path:
        return self.home / "out"

    def write(self, grid: str = GRID) -> Path:
        (self.home / "grid.toml").write_text(grid)
        return self.home / "grid.toml"

    def plan(self, grid: str = GRID) -> list[GridRun]:
        recipe = read_grid(self.write(grid))
        return plan_runs(recipe, eval_settings(recipe), create_plugin_manager())

    def run(
        self, grid: str = GRID, *, plugins: tuple[object, ...] = (), accept_changes: bool = False
    ) -> dict[str, Any]:
        """Run a grid in the folder `out`. `console` keeps what would go to stderr."""
        manager, recipe = create_plugin_manager(plugins), read_grid(self.write(grid))
        settings = eval_settings(recipe)
        runs = plan_runs(recipe, settings, manager)
        console = Console(file=self.console, soft_wrap=True)
        return Ablation(recipe, runs, settings, self.out, manager, torch.device("cpu"), console, accept_changes).run()

    def output(self) -> str:
        """Return and clear the printed output."""
        text = self.console.getvalue()
        self.console.truncate(self.console.seek(0))
        return text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Workbench(tmp_path)
    torch.set_num_threads(before)
