"""The training loop: steps, validation and checkpoints at the ends of epochs, and what happens when a run stops."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from jitkit import parallel
from jitkit.errors import DivergedError, JitkitError, ResourceError, Stopped, ran_out_of_memory
from jitkit.progress import Display
from jitkit.training.callbacks import Callbacks
from jitkit.training.evaluated import evaluated
from jitkit.training.plan import Plan
from jitkit.training.reporting import Reporter, report_divergence
from jitkit.training.run_folder import RunFolder
from jitkit.training.run_report import write_report
from jitkit.training.saver import Saver
from jitkit.training.setup import TrainingSetup
from jitkit.training.signals import StopRequested, StopSignals
from jitkit.training.state import RunMetadata, State
from jitkit.training.step import GradientOutOfMemory, train_step
from jitkit.training.stragglers import Stragglers
from jitkit.training.tasks.task import TrainingTask


@dataclass
class Trainer:
    """A run with everything it needs; `fit` trains."""

    setup: TrainingSetup
    state: State
    task: TrainingTask
    metadata: RunMetadata
    folder: RunFolder
    saver: Saver
    reporter: Reporter
    display: Display
    signals: StopSignals
    stragglers: Stragglers
    note: Callable[[str], None]
    callbacks: Callbacks = field(default_factory=Callbacks)

    @property
    def plan(self) -> Plan:
        """The steps and epochs of the run."""
        return self.setup.plan

    def fit(self) -> None:
        """Train until the last step.

        Raises Stopped after a signal, with the state saved, DivergedError at a step that is not finite, and ResourceError
        if the disk or the memory is full, with the state saved if possible.
        """
        self.setup.pipeline.denoiser.network.train()
        try:
            with self._rescuing():
                self._finish_epoch()  # a run that was stopped at the end of an epoch has not validated yet
            while self.state.step < self.plan.num_steps and self._signal() is None:
                values = self._step()
                with self._rescuing():
                    self._report(values)
                    self._finish_epoch()
                    self._save_by_time()
                    self.saver.poll()
            with self._rescuing():
                self.saver.finish()
        except StopRequested:
            pass
        except (RuntimeError, MemoryError) as error:
            if error is self.callbacks.error or not ran_out_of_memory(error):
                raise
            self._out_of_memory(error, self.folder.newest())
        if (number := self._signal()) is not None:
            with self._rescuing():
                self._stop(number)

    def _signal(self) -> int | None:
        """Return the signal that any process of the group has received. All processes call this at the same places."""
        return parallel.all_reduce_max(self.signals.received or 0) or None

    def _step(self) -> dict[str, float]:
        """Take a step; return its line in the log."""
        started = time.perf_counter()
        try:
            outcome = train_step(self.task, self.state, self.setup.train, self.plan, lap=self.stragglers.lap)
        except GradientOutOfMemory as error:
            self._out_of_memory(error, self.saver.save() if parallel.world_size() == 1 else self.folder.newest())
        except ResourceError:  # another process is lost; nothing has changed
            with self._rescuing():
                raise
        if not outcome.is_finite:
            saved = self.saver.save()  # if the weights before the step are finite
            diverged = report_divergence(self.folder.path, self.state.step + 1, outcome, saved)
            if parallel.is_main_process():
                self.folder.record({f"diverged_step_{self.state.step + 1}.json": "divergence"})
            raise diverged
        seconds = time.perf_counter() - started
        parallel.set_timeout(self.setup.components.manifest.parallel.timeout)  # the first step may take long
        self.stragglers.finished(self.state.step)
        return {
            "step": self.state.step,
            "epoch": self.plan.epoch(self.state.step),
            "loss": outcome.loss,
            "lr": outcome.lr,
            "grad_norm": outcome.grad_norm,
            "seconds": seconds,
            "tokens_per_second": outcome.result.num_tokens / seconds,
        }

    def _report(self, values: dict[str, float]) -> None:
        self.reporter.step(values)
        self.display.step(values)
        self.callbacks.step(values)

    def _out_of_memory(self, error: BaseException, saved: Path | None) -> NoReturn:
        found = f"not enough memory on {self.setup.device} at step {self.state.step + 1}"
        hint = f"Saved: {saved}; --resume auto continues from there. " if saved else "Nothing was saved yet. "
        hint += "train.recompute = true stores fewer activations; train.accumulate computes a batch in that many parts."
        raise ResourceError(found, "a batch that fits", field="train.batch_size", hint=hint) from error

    def _finish_epoch(self) -> None:
        """Validate and save what is due after the last step, unless that was done before."""
        step = self.state.step
        validates, checkpoints = self.plan.validates_at(step), self.plan.checkpoints_at(step)
        if step == 0 or self.state.loss is not None or not (validates or checkpoints):
            return
        if self._signal() is not None:
            raise StopRequested
        self.folder.state.require_own()
        is_best = self._validate() if validates else False
        if checkpoints:
            self.saver.save(prune=True, wait=False)
        if is_best:  # after the checkpoint, which is worth more if there is room for one of them only
            self.saver.save_best()

    def _save_by_time(self) -> None:
        """Save if `train.checkpoint_minutes` have passed since the last checkpoint, as seen by the main process."""
        minutes = self.setup.train.checkpoint_minutes
        if minutes is not None and parallel.broadcast(time.monotonic() - self.saver.saved_at >= 60 * minutes):
            self.saver.save(prune=True, wait=False)

    def _validate(self) -> bool:
        """Compute and report the validation loss; return whether it is the lowest so far."""
        started = time.perf_counter()
        loss = self._validation_loss()
        if not math.isfinite(loss):
            field, hint = f"step {self.state.step}: validation_loss", f"The weights are in {self.saver.save().name}."
            raise DivergedError(str(loss), "a finite number", file=self.folder.path, field=field, hint=hint)
        is_best = self.state.record_validation(loss)
        values = {
            "step": self.state.step,
            "epoch": self.plan.epoch(self.state.step),
            "validation_loss": loss,
            "best_loss": loss if self.state.best_loss is None else self.state.best_loss,
            "seconds": time.perf_counter() - started,
        }
        self.reporter.numbers(values)
        self.display.validated(values)
        self._write_report()
        self.callbacks.validated(values)
        return is_best

    def _validation_loss(self) -> float:
        """Return the mean validation loss of the first averaged weights. All processes share the work.

        A new signal to any of them ends it early.
        """
        known_signal, abandoned, sums, total = self.signals.received, False, list[float](), 0
        with (
            evaluated(self.setup, self.state) as pipeline,
            closing(self.task.validation_losses(pipeline.denoiser)) as batches,
        ):
            for losses, count in batches:
                sums.append(losses)
                total += count
                if abandoned := self.signals.received != known_signal:
                    break
        if parallel.all_reduce_max(abandoned):
            raise StopRequested
        sums, counts = parallel.gather_numbers(sums), parallel.gather_numbers([total])
        return math.fsum(sums) / max(1, math.fsum(counts))

    def _write_report(self) -> None:
        """Write the report page of the run and show a sample. A signal cuts it short; another failure is only a warning."""
        step = self.state.step
        try:
            with evaluated(self.setup, self.state) as pipeline:
                if not parallel.is_main_process() or self.signals.received is not None:
                    return
                gallery = write_report(self.folder.path, pipeline, self.metadata, step, self.signals.check)
            self.display.sample(step, gallery.samples[0].text)
            self.reporter.samples(gallery)
        except StopRequested:
            pass
        except Stopped:  # a second signal
            raise
        except Exception as error:
            self.reporter.warn_once(f"warning: report.html: {type(error).__name__}: {error}")

    @contextmanager
    def _rescuing(self) -> Iterator[None]:
        """Try to save the state if a file cannot be written inside the block, or if another process is lost.

        The error is raised with what is kept. A network that is split among processes cannot be saved without them.
        """
        try:
            yield
        except ResourceError as error:
            with suppress(JitkitError):
                self.saver.rescue()
            newest = self.folder.newest()
            kept = f"Kept: {newest}; --resume auto continues from there." if newest else "Nothing was saved before."
            problem, *others = error.problems
            problem = replace(problem, hint=f"{problem.hint} {kept}".strip())
            raise ResourceError(problems=[problem, *others]) from error

    def save_interrupted(self, error: BaseException) -> None:
        """Save after a KeyboardInterrupt or an `error` of a callback, and note on the error what was saved.

        An interrupt during the update of the weights leaves no state to save; the last checkpoint remains then.
        """
        if not isinstance(error, KeyboardInterrupt) and error is not self.callbacks.error:
            return
        path = (
            self.saver.save(prune=True) if self.state.is_whole and parallel.world_size() == 1 else self.folder.newest()
        )
        saved = f"saved {path}; resume='auto' continues from there" if path else "nothing was saved yet"
        error.add_note(f"jitkit: stopped after step {self.state.step}; {saved}")
        self.note(f"stopped after step {self.state.step}; {saved}")

    def _stop(self, number: int) -> NoReturn:
        """Save. After Ctrl-C, also validate, so that the best model is up to date.

        The saved state does not include that validation: the continued run validates where the uninterrupted one does.
        """
        path = self.saver.save(prune=True)
        hint = f"stopped after step {self.state.step}; saved {path} (--resume auto continues from there)"
        if number == signal.SIGINT and self.state.step and self.state.loss is None:
            self.note(f"saved {path}; computing the validation loss, press Ctrl-C again to exit now")
            if self._validate():
                self.saver.save_best()
            parallel.barrier()  # when the first process ends, torchrun sends a signal to the others
        raise Stopped(number, hint if parallel.is_main_process() else "")
