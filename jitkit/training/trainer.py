"""The training loop: step after step, validation after every epoch, checkpoints, and a clean end however it ends."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn

from jitkit import parallel
from jitkit.checkpoints.format import save_checkpoint
from jitkit.errors import DivergedError, ResourceError, Stopped, ran_out_of_memory
from jitkit.manifest.schema import Train
from jitkit.progress import Display
from jitkit.training.divergence import write_report
from jitkit.training.optim.optimizer import learning_rate
from jitkit.training.plan import Plan
from jitkit.training.reporting import Reporter
from jitkit.training.run_folder import RunFolder
from jitkit.training.run_report import RunReport
from jitkit.training.signals import StopSignals
from jitkit.training.state import RunMetadata, State
from jitkit.training.tasks.task import StepResult, TrainingTask


class _StopRequested(Exception):
    """A signal came during a validation, which is then given up."""


@dataclass
class Trainer:
    """A run with all it needs; `fit` trains."""

    train: Train
    plan: Plan
    state: State
    network: nn.Module  # runs that of `state` in the chosen precision; the weights are the same tensors
    task: TrainingTask
    facts: RunMetadata
    device: torch.device
    folder: RunFolder
    reporter: Reporter
    report: RunReport
    display: Display
    signals: StopSignals
    note: Callable[[str], None]

    def fit(self) -> None:
        """Train until the last step.

        Raises Stopped after a signal (the state is saved then), DivergedError before a step that is not finite, and
        ResourceError when the disk or the memory is full.
        """
        self.network.train()
        try:
            self._finish_epoch()  # a run that was stopped at an epoch's end has not measured it yet
            while self.state.step < self.plan.num_steps and self._signal() is None:
                self._take_step()
                self._finish_epoch()
        except _StopRequested:
            pass
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            self._out_of_memory(error, self._newest())
        if (number := self._signal()) is not None:
            self._stop(number)

    def _signal(self) -> int | None:
        """Return the signal that this process or another of its group has received; all ask at the same places."""
        return parallel.all_reduce_max(self.signals.received or 0) or None

    # -------------------------------------------------------------------------------------------- a step

    def _take_step(self) -> None:
        started = time.perf_counter()
        step = self.state.step
        taught, loss, grad_norm = self._gradient(step)
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            self._diverged(taught, loss, grad_norm)
        lr = learning_rate(step, self.train, num_steps=self.plan.num_steps, steps_per_epoch=self.plan.steps_per_epoch)
        self.state.advance(lr)
        if self.state.schedule is not None and taught.observed is not None:
            self.state.schedule.observe(*taught.observed)
        seconds = time.perf_counter() - started
        values = {
            "step": self.state.step,
            "epoch": self.plan.epoch(self.state.step),
            "loss": loss,
            "lr": lr,
            "grad_norm": grad_norm,
            "seconds": seconds,
            "tokens_per_second": taught.num_tokens / seconds,
        }
        self.reporter.step(values)
        self.display.step(values)

    def _gradient(self, step: int) -> tuple[StepResult, float, float]:
        """Return what a step was about, its mean loss, and the norm of its gradient.

        But for the gradient, which is clipped, nothing has changed.
        """
        try:
            self.state.optimizer.zero_grad()
            taught = self.task.backward(step)
            limit = self.train.clip_norm or math.inf
            grad_norm = nn.utils.clip_grad_norm_(self.state.network.parameters(), limit)
            if step + 1 < self.plan.num_steps:
                self.task.prefetch(step + 1)  # a GPU has been told of all this, but is not waited for until here
            return taught, *torch.stack((taught.loss, grad_norm.to(taught.loss))).tolist()
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            self.state.optimizer.zero_grad()
            self._out_of_memory(error, self._save() if parallel.world_size() == 1 else self._newest())

    def _diverged(self, taught: StepResult, loss: float, grad_norm: float) -> NoReturn:
        self.state.optimizer.zero_grad()
        step = self.state.step + 1
        field, found = ("grad_norm", grad_norm) if math.isfinite(loss) else ("loss", loss)
        report = write_report(self.folder.path, step, {field: str(found), "starts": taught.starts})
        saved = self._save()
        raise DivergedError(
            str(found),
            "a finite number",
            file=self.folder.path,
            field=f"step {step}: {field}",
            hint=f"The step was not taken. {_windows(taught.starts, report.name)}The weights before it: {saved.name}.",
        )

    def _out_of_memory(self, error: BaseException, saved: Path | None) -> NoReturn:
        raise ResourceError(
            f"not enough memory on {self.device} at step {self.state.step + 1}",
            "a batch that fits",
            field="train.batch_size",
            hint=(f"Saved: {saved}; --resume auto goes on from there. " if saved else "Nothing was saved yet. ")
            + "train.recompute = true keeps less for the gradient; train.accumulate computes a batch in so many parts.",
        ) from error

    def _newest(self) -> Path | None:
        """Return the checkpoint that was written last; where one process of a group is short of memory, none is written."""
        return next(iter(self.folder.checkpoints()), None)

    # ------------------------------------------------------------------------------------ an epoch's end

    def _finish_epoch(self) -> None:
        """Measure, and save what is due, if the last step ended an epoch or the run and this was not done yet."""
        step = self.state.step
        if (
            step == 0
            or self.state.loss is not None
            or not (self.plan.validates_at(step) or self.plan.checkpoints_at(step))
        ):
            return
        if self._signal() is not None:
            raise _StopRequested
        if self.plan.validates_at(step):
            self._measure()
        if self.plan.checkpoints_at(step):
            self._save()
            self._prune()

    def _measure(self) -> None:
        """Measure the validation loss, tell it, and write the best model if it is the lowest so far."""
        started = time.perf_counter()
        loss = self._validation_loss()
        if not math.isfinite(loss):
            raise DivergedError(
                str(loss),
                "a finite number",
                file=self.folder.path,
                field=f"step {self.state.step}: validation_loss",
                hint=f"The weights are in {self._save().name}.",
            )
        lowest = self.state.measured(loss)
        self._report_validation(loss, time.perf_counter() - started)
        if lowest:
            self._save_best()
        if parallel.is_main_process() and self.signals.received is None:
            self._show()

    def _show(self) -> None:
        """Write the run's page. A signal cuts it short; whatever else goes wrong is said once and stops nothing."""

        def on_step() -> None:
            if self.signals.received is not None:
                raise _StopRequested

        try:
            with self.state.averages.ema_scope(self.state.network):
                self.report.write(self.state.step, on_step)
        except _StopRequested:
            pass
        except Stopped:  # the user's second signal
            raise
        except Exception as error:
            self.reporter.warn_once(f"warning: report.html: {type(error).__name__}: {error}")

    def _validation_loss(self) -> float:
        """Return the validation loss of the first averaged weights, which the leader measures for all.

        A signal that is not known yet ends the wait.
        """
        known_signal, loss, given_up = self.signals.received, 0.0, False

        def advance(windows: int) -> None:
            del windows
            if self.signals.received != known_signal:
                raise _StopRequested

        if parallel.is_main_process():
            try:
                with self.state.averages.ema_scope(self.state.network):
                    loss = self.task.validation_loss(advance)
            except _StopRequested:
                given_up = True
        if parallel.broadcast(given_up):
            raise _StopRequested
        return parallel.broadcast(loss)

    def _report_validation(self, loss: float, seconds: float) -> None:
        values = {
            "step": self.state.step,
            "epoch": self.plan.epoch(self.state.step),
            "validation_loss": loss,
            "best_loss": loss if self.state.best_loss is None else self.state.best_loss,
            "seconds": seconds,
        }
        self.reporter.numbers(values)
        self.display.validated(values)

    # --------------------------------------------------------------------------------------- saving, stopping

    def _save(self) -> Path:
        """Write a checkpoint; the others of a group wait until it is there."""
        path = self.folder.checkpoint(self.plan.epoch(self.state.step))
        self._write(path)
        parallel.barrier()
        return path

    def _save_best(self) -> None:
        """Write the weights without the optimizer: half the size, and nothing a reader of weights needs is missing."""
        self._write(self.folder.best, with_optimizer=False)

    def _write(self, path: Path, *, with_optimizer: bool = True) -> None:
        if parallel.is_main_process():
            epoch = self.plan.epoch(self.state.step)
            save_checkpoint(path, self.state.checkpoint(epoch, self.facts, with_optimizer=with_optimizer))
            self.reporter.notify("jitkit_checkpoint_saved", path=path, step=self.state.step)

    def _prune(self) -> None:
        if parallel.is_main_process():
            self.folder.prune(self.train.keep, self.note)

    def _stop(self, number: int) -> NoReturn:
        """Save; after Ctrl-C, where someone may wait but nothing else will, also see whether the model is the best so far.

        That look is no part of the run: the saved state does not know of it, and the continued run measures where the
        uninterrupted one does.
        """
        path = self._save()
        self._prune()
        saved = f"stopped after step {self.state.step}; saved {path} (--resume auto goes on from there)"
        if number == signal.SIGINT and self.state.step and self.state.loss is None:
            self.note(f"saved {path}; measuring the validation loss, Ctrl-C again to leave now")
            self._measure()
        raise Stopped(number, saved if parallel.is_main_process() else "")


def _windows(starts: list[int], report: str) -> str:
    """Return a sentence about where the windows of a step start; nothing for a step without text."""
    if not starts:
        return ""
    some = ", ".join(map(str, starts[:8])) + (", ..." if len(starts) > 8 else "")
    return f"Its windows start at tokens {some} of the training text (all in {report}). "
