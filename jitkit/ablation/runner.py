"""Run a grid: train and evaluate what is not finished, and write the results."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from jitkit import parallel
from jitkit.ablation.folder import (
    GridChanges,
    GridFolder,
    Outcome,
    Recipes,
    eval_overrides,
    seconds_of,
    try_lock,
    write_json,
)
from jitkit.ablation.grid import EvalSetting, Grid
from jitkit.ablation.planning import GridRun
from jitkit.ablation.results import RunResult, figures, summarize, training_figures, write_results
from jitkit.checkpoints.open import open_model
from jitkit.discovery import PluginManager
from jitkit.errors import DivergedError, InputError, ResourceError, Stopped, UsageError
from jitkit.evaluation.runner import evaluate_checkpoint
from jitkit.filesystem import exists
from jitkit.storage.atomic import make_folder
from jitkit.terminal import print_note
from jitkit.training.retention import prune_checkpoints
from jitkit.training.run import Request, train
from jitkit.training.run_folder import RunFolder


@dataclass(frozen=True)
class Ablation:
    """A planned grid and the folder it runs in."""

    grid: Grid
    runs: Sequence[GridRun]
    settings: Sequence[EvalSetting]
    out: Path
    manager: PluginManager
    device: torch.device
    console: Console  # stderr, for progress and notes
    accept_changes: bool = False

    def run(self) -> dict[str, Any]:
        """Run the whole grid and return its results (see `summarize`), which are written after every run.

        Finished work is skipped, and interrupted runs resume exactly. If a run diverges, that is recorded and the grid
        continues. Several processes may share a folder: each takes runs that no other process works on. Raises UsageError
        for a grid that has changed since it was started, Stopped after a signal, and what training and evaluation raise.
        """
        if parallel.launched_by_torchrun():
            hint = "To share the runs of a grid, start the same command several times without torchrun."
            raise UsageError("a torchrun launch, which trains one model", "a plain process", hint=hint)
        self._start()
        for number, run in enumerate(self.runs, 1):
            try:
                self._process(run, f"{number} of {len(self.runs)}: {run.name}")
            except (Stopped, KeyboardInterrupt) as error:  # training turns signals into `Stopped`, evaluation does not
                finished = f"finished results are in {self.out / 'results.md'}; repeat the command to continue"
                message = f"stopped in run {number} of {len(self.runs)} ({run.name}); {finished}"
                raise Stopped(error.signal_number if isinstance(error, Stopped) else signal.SIGINT, message) from error
            finally:
                document = self._write_results()
        return document

    @property
    def _folder(self) -> GridFolder:
        return GridFolder(self.out)

    @property
    def _recipes(self) -> Recipes:
        return Recipes(grid=self.grid.source.origin, cells={run.folder.as_posix(): run.recipe for run in self.runs})

    def _note(self, text: str) -> None:
        print_note(self.console, text)

    def _start(self) -> None:
        """Check that the grid in the folder is this one, or replace its changed runs; then record this grid."""
        with RunFolder(self.out).locked(wait=math.inf), ExitStack() as locks:
            before = self._folder.recipes()
            if before is not None and any(exists(self.out / folder) for folder in before.cells):
                changes = GridChanges.between(before, self._recipes)
                if not self.accept_changes:
                    changes.require_none(self.out, self.grid.source.origin)
                for run in (self.out / folder for folder in changes.changed):
                    if not locks.enter_context(try_lock(run)):
                        raise ResourceError("a run that another process works on", "an idle run", file=run)
                changes.set_aside(self.out)
            write_json(self._recipes, self._folder.recipes_file)

    def _is_current(self) -> bool:
        """Return whether the folder still belongs to this version of the grid."""
        recorded = self._folder.recipes()
        return recorded is not None and recorded.cells == self._recipes.cells

    def _process(self, run: GridRun, title: str) -> None:
        """Finish a run, unless another process works on it."""
        if self._is_finished(run):
            return
        with try_lock(self._folder.run(run)) as locked:
            if not locked:
                self._note(f"{title}: another process works on it")
                return
            if not self._is_current():
                found, expected = "a grid changed by another process", "the grid at the start"
                raise UsageError(found, expected, file=self._folder.recipes_file)
            outcome = self._folder.outcome(run)
            if outcome is None:
                self._note(title)
                outcome = self._train(run)
            for setting in self.settings:
                if outcome.outcome == "trained" and self._folder.report(run, setting) is None:
                    self._note(f"{title}: evaluating {setting.name}")
                    self._evaluate(run, setting)

    def _is_finished(self, run: GridRun) -> bool:
        """Return whether a run has diverged, or is trained and evaluated under every setting."""
        outcome = self._folder.outcome(run)
        return outcome is not None and (
            outcome.outcome == "diverged" or all(self._folder.report(run, setting) for setting in self.settings)
        )

    def _train(self, run: GridRun) -> Outcome:
        """Train a run until it ends or diverges, record its outcome, and keep only the latest checkpoint."""
        folder = RunFolder(self._folder.run(run))
        resume: Literal["auto"] | None = "auto" if exists(folder.path) else None
        request = Request(run.components, self.manager, folder.path, self.device, self.console, resume)
        values: dict[str, Any]
        try:
            result = train(request)
            values = {"outcome": "trained", "loss": result.loss, "best_loss": result.best_loss}
        except DivergedError as error:
            self._note(f"diverged: {error}")
            values = {"outcome": "diverged", "reason": str(error)}
        finally:
            if "torch._dynamo" in sys.modules:  # its cache of compiled code holds only a few networks per class
                torch.compiler.reset()
        outcome = Outcome(seconds=seconds_of(folder.metrics), **values)
        write_json(outcome, folder.path / "cell.json")
        prune_checkpoints(folder, 1, self._note)
        return outcome

    def _evaluate(self, run: GridRun, setting: EvalSetting) -> None:
        """Evaluate a run and write the report. A failed evaluation is noted and repeated the next time."""
        folder = self._folder.run(run)
        try:
            model, overrides = open_model(folder / "best_model.pth", self.manager), eval_overrides(run, setting)
            report = evaluate_checkpoint(model, data=run.text, overrides=overrides, device=self.device)
        except InputError as error:
            self._note(f"not evaluated: {error}")
            return
        make_folder(folder / "eval")
        write_json(report, self._folder.report_file(run, setting))
        self.manager.notify("jitkit_evaluated", self._note, folder=folder, report=report)

    def _write_results(self) -> dict[str, Any]:
        """Write and return the results of all finished runs, including those of other processes."""
        with RunFolder(self.out).locked(wait=math.inf):
            results = [self._result(run, setting) for run in self.runs for setting in self.settings]
            document = summarize(self.grid, results)
            if self._is_current():
                write_results(document, self.out)
        return document

    def _result(self, run: GridRun, setting: EvalSetting) -> RunResult:
        outcome = self._folder.outcome(run)
        report = self._folder.report(run, setting) if outcome else None
        numbers = {**training_figures(outcome), **figures(report)} if outcome and report else {}
        return RunResult(run, setting, outcome, numbers)
