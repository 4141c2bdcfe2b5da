"""Going through a grid: train what is not trained, measure what is not measured, and lay out what there is."""

from __future__ import annotations

import json
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
from jitkit.ablation.changes import Changes, require_unchanged, set_aside
from jitkit.ablation.eval_settings import EvalSetting
from jitkit.ablation.figures import figures, training_figures
from jitkit.ablation.grid import Grid
from jitkit.ablation.grid_run import GridRun, file_name
from jitkit.ablation.record import Outcome, Recipes, read, seconds_of, write
from jitkit.ablation.results import RunResult, results, write_results
from jitkit.ablation.run_lock import try_lock
from jitkit.checkpoints.open import open_model
from jitkit.discovery import PluginManager
from jitkit.discovery.notices import give_notice
from jitkit.errors import DivergedError, InputError, ResourceError, Stopped, UsageError
from jitkit.evaluation.runner import evaluate_checkpoint
from jitkit.storage.atomic import make_folder
from jitkit.training.run_folder import RunFolder
from jitkit.training.setup import Request, train


@dataclass(frozen=True)
class Ablation:
    """A planned grid and where it is carried out."""

    grid: Grid
    cells: Sequence[GridRun]
    settings: Sequence[EvalSetting]
    out: Path
    manager: PluginManager
    device: torch.device
    console: Console  # for the bar and the remarks; stderr
    accept_changes: bool = False

    def note(self, text: str) -> None:
        """Print a remark."""
        self.console.print(f"jitkit: {text}")

    # ------------------------------------------------------------------------------------------- the whole

    def run(self) -> dict[str, Any]:
        """Return the results (see `results`) of the whole grid; they are written to the folder after every cell.

        What an earlier call finished is not done again, and what it began goes on where it stopped, exactly. A cell that
        diverges is recorded and the next one is trained. Several processes may carry out one grid in one folder: each takes
        the cells that no other works at. Raises UsageError for a grid that has changed since, Stopped after a signal, and
        what training and measuring raise.
        """
        if parallel.launched_by_torchrun():
            hint = "Without torchrun, several processes share the runs of a grid: start the same command again."
            raise UsageError("processes of torchrun, which train one model", "processes of their own", hint=hint)
        self._begin()
        for number, cell in enumerate(self.cells, 1):
            try:
                self._take(cell, f"{number} of {len(self.cells)}: {cell.name}")
            except Stopped as stopped:
                raise self._stopped(stopped.signal_number, number, cell) from stopped
            except KeyboardInterrupt as interrupt:  # while it was measured: only training listens for the signal
                raise self._stopped(signal.SIGINT, number, cell) from interrupt
            finally:
                document = self._lay_out()
        return document

    def _begin(self) -> None:
        """Compare the grid with the one that the folder was begun with, and write it down."""
        with RunFolder(self.out).locked(wait=True), ExitStack() as claims:
            before = self._begun()
            if before is not None and any((self.out / folder).exists() for folder in before.cells):
                changes = Changes.between(before, self._recipes)
                if not self.accept_changes:
                    require_unchanged(changes, self.out, self.grid.source.origin)
                for run in (self.out / folder for folder in changes.altered):
                    if not claims.enter_context(try_lock(run)):
                        raise ResourceError("a run that another process works at", "one that may be replaced", file=run)
                set_aside(changes, self.out)
            write(self._recipes, self.out / "grid.json")

    @property
    def _recipes(self) -> Recipes:
        return Recipes.of(self.grid.source.origin, self.cells)

    def _begun(self) -> Recipes | None:
        """Return the grid that the folder holds now; None when there is none."""
        return read(Recipes, self.out / "grid.json")

    def _still_begun(self) -> bool:
        """Tell whether the folder's runs are still those of this grid: another process may have brought another one."""
        begun = self._begun()
        return begun is not None and begun.cells == self._recipes.cells

    def _stopped(self, number: int, position: int, cell: GridRun) -> Stopped:
        return Stopped(
            number,
            f"stopped in run {position} of {len(self.cells)} ({cell.name}); {self.out / 'results.md'} has what is"
            " finished, the same command goes on from there",
        )

    # ------------------------------------------------------------------------------------------- one cell

    def _take(self, cell: GridRun, title: str) -> None:
        """Do what is left of a cell, unless another process works at it."""
        if self._finished(cell):
            return
        with try_lock(self.out / cell.folder) as own:
            if not own:
                self.note(f"{title}: another process works at it")
            elif not self._still_begun():
                raise UsageError(
                    "a grid that another process has changed", "the grid as it was", file=self.out / "grid.json"
                )
            else:
                self._do(cell, title)

    def _finished(self, cell: GridRun) -> bool:
        """Tell whether a cell has diverged, or was trained and every setting of it taken."""
        outcome = self._outcome(cell)
        if outcome is None or outcome.outcome == "diverged":
            return outcome is not None
        return all(self._report(cell, setting) is not None for setting in self.settings)

    def _outcome(self, cell: GridRun) -> Outcome | None:
        """Return how the training of a cell ended; None where it has not."""
        return read(Outcome, self.out / cell.folder / "cell.json")

    def _do(self, cell: GridRun, title: str) -> None:
        """Train a cell and take every setting of it, as far as this was not done before."""
        outcome = self._outcome(cell)
        if outcome is None:
            self.note(title)
            outcome = self._train(cell)
        for setting in self.settings:
            if outcome.outcome == "trained" and self._report(cell, setting) is None:
                self.note(f"{title}: measuring {setting.name}")
                self._measure(cell, setting)

    def _train(self, cell: GridRun) -> Outcome:
        """Train a cell to its end or its divergence; write down how it ended and leave the newest checkpoint."""
        folder = RunFolder(self.out / cell.folder)
        resume: Literal["auto"] | None = "auto" if folder.path.exists() else None
        request = Request(cell.components, self.manager, folder.path, self.device, self.console, resume)
        try:
            result = train(request)
        except DivergedError as error:
            self.note(f"diverged: {error}")
            outcome = Outcome(outcome="diverged", seconds=seconds_of(folder.metrics), reason=str(error))
        else:
            seconds = seconds_of(folder.metrics)
            outcome = Outcome(outcome="trained", loss=result.loss, best_loss=result.best_loss, seconds=seconds)
        finally:
            if "torch._dynamo" in sys.modules:  # compiled code is kept by the model's class, for a few networks only
                torch.compiler.reset()
        write(outcome, folder.path / "cell.json")
        folder.prune(1, self.note)
        return outcome

    def _measure(self, cell: GridRun, setting: EvalSetting) -> None:
        """Take a setting and write its report. What cannot be measured is said, left out, and tried again next time."""
        folder = self.out / cell.folder
        try:
            report = evaluate_checkpoint(
                open_model(folder / "best_model.pth", self.manager),
                data=cell.text,
                overrides=_settings(cell, setting),
                device=self.device,
            )
        except InputError as error:
            self.note(f"not measured: {error}")
            return
        make_folder(folder / "eval")
        write(report, _path(folder, setting))
        give_notice(self.manager, "jitkit_evaluated", self.note, folder=folder, report=report)

    def _report(self, cell: GridRun, setting: EvalSetting) -> dict[str, Any] | None:
        """Return the report of a setting; None where it was not taken, or under other settings."""
        path = _path(self.out / cell.folder, setting)
        try:
            report = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError("no JSON", "a report as jitkit ablate writes it", file=path) from error
        return report if report.get("set") == _settings(cell, setting) else None

    # --------------------------------------------------------------------------------------------- layout

    def _lay_out(self) -> dict[str, Any]:
        """Write the results of what is finished, by whatever process, and return them."""
        with RunFolder(self.out).locked(wait=True):
            document = results(self.grid, self._measured())
            if self._still_begun():
                write_results(document, self.out)
        return document

    def _measured(self) -> list[RunResult]:
        """Return every setting of every cell, taken or not."""
        found: list[RunResult] = []
        for cell in self.cells:
            outcome = self._outcome(cell)
            for setting in self.settings:
                numbers: dict[str, float] = {}
                if outcome is not None and (report := self._report(cell, setting)):
                    numbers = {**training_figures(outcome), **figures(report)}
                found.append(RunResult(cell, setting, outcome, numbers))
        return found


def _settings(cell: GridRun, setting: EvalSetting) -> list[str]:
    """Return the overrides of a setting; the cell's own `[eval]` is among them, which may change after training."""
    settings = cell.components.manifest.eval
    own = [
        f"eval.metrics={list(settings.metrics)}",
        f"eval.times={list(settings.times)}",
        f"eval.num_windows={settings.num_windows}",
    ]
    return [*own, *setting.overrides]


def _path(folder: Path, setting: EvalSetting) -> Path:
    return folder / "eval" / f"{file_name(setting.name)}.json"
