"""Reporting a run: `metrics.jsonl`, trackers, plugins, and steps that diverged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from jitkit import parallel
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.documents.schemas import Gallery
from jitkit.errors import DivergedError, JitkitError, Stopped, first_line
from jitkit.protocols import SampleTracker, Tracker, TrackerComponent
from jitkit.report.tracked_samples import tracked_samples
from jitkit.storage.atomic import open_log, write_file, writing
from jitkit.training.step import StepOutcome
from jitkit.training.tasks.task import StepResult

TIMES = ("seconds", "tokens_per_second")  # keys that differ between identical runs


class Reporter:
    """Passes numbers on to `metrics.jsonl`, trackers, and plugins.

    A failing plugin is reported once and does not stop the run. A failing tracker gets nothing more. In a group of processes
    only the main one reports.
    """

    def __init__(
        self, folder: Path, trackers: Iterable[TrackerComponent], manager: PluginManager, note: Callable[[str], None]
    ) -> None:
        """Open log and trackers. Raises the JitkitError of a tracker, such as a missing package."""
        self._folder, self._note = folder, note
        self._failed: set[tuple[str, ...]] = set()
        leads = parallel.is_main_process()
        self._manager = manager if leads else create_plugin_manager(autoload=False)
        self._metrics = folder / "metrics.jsonl"
        self._log = open_log(self._metrics) if leads else None
        self._trackers: dict[str, Tracker] = {}
        try:
            for component in trackers if leads else ():
                self._open(component)
        except BaseException:
            self.close()
            raise

    def step(self, values: Mapping[str, float]) -> None:
        """Report an optimizer step; `values` is its line in `metrics.jsonl`."""
        self.numbers(values)
        self.notify("jitkit_step_finished", step=int(values["step"]), values=values)

    def numbers(self, values: Mapping[str, float]) -> None:
        """Write one line to `metrics.jsonl`, flushed at once, and to every tracker.

        Raises ResourceError if the line cannot be written, for example because the disk is full.
        """
        if self._log is not None:
            with writing(self._metrics):
                self._log.write(json.dumps(values, allow_nan=False) + "\n")
                self._log.flush()
        for name, tracker in [*self._trackers.items()]:
            self._guard(name, partial(tracker.log, int(values["step"]), values))

    def samples(self, gallery: Gallery) -> None:
        """Pass samples on to the trackers that record them."""
        wanting = {name: tracker for name, tracker in self._trackers.items() if isinstance(tracker, SampleTracker)}
        samples = tracked_samples(gallery) if wanting else []
        for name, tracker in wanting.items():
            self._guard(name, partial(tracker.log_samples, gallery.step, samples))

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a notice hook of every plugin."""
        self._manager.notify(hook, self.warn_once, folder=self._folder, **arguments)

    def close(self) -> None:
        """Close the log and the trackers."""
        for name, tracker in [*self._trackers.items()]:
            self._guard(name, tracker.close)
        if self._log is not None:
            with suppress(OSError):  # lines are written immediately, and failures are reported
                self._log.close()

    def warn_once(self, text: str) -> None:
        """Print a warning, unless an earlier one began alike, with the same component and error."""
        failure = tuple(text.split(": ")[:2])
        if failure not in self._failed:
            self._failed.add(failure)
            self._note(f"{text} (shown once; training continues)")

    def _open(self, component: TrackerComponent) -> None:
        try:
            self._trackers[component.name] = component.build(self._folder)
        except JitkitError:  # a wrong setup
            raise
        except Exception as error:
            self._warn_of_tracker(component.name, error)

    def _guard(self, name: str, call: Callable[[], object]) -> None:
        """Call a method of a tracker. If that fails, close the tracker and use it no more."""
        try:
            call()
        except Stopped:  # a second signal arrived while the tracker was working
            raise
        except Exception as error:
            self._warn_of_tracker(name, error)
            self._abandon(self._trackers.pop(name))

    def _abandon(self, tracker: Tracker) -> None:
        try:
            tracker.close()
        except Stopped:
            raise
        except Exception:  # it has failed before, which the user knows
            return

    def _warn_of_tracker(self, name: str, error: Exception) -> None:
        self._note(
            f"warning: tracker {name}: {type(error).__name__}: {first_line(error)} (it is off now; training continues)"
        )


def report_divergence(folder: Path, step: int, outcome: StepOutcome, saved: Path) -> DivergedError:
    """Write `diverged_step_{N}.json` and return the error of step `step` (from 1), which was not taken.

    The file holds the value that is not finite, and where the windows of the batch start in the training text. `saved` is
    the checkpoint of the weights before the step.
    """
    field = str(outcome.problem)
    found = outcome.grad_norm if field == "grad_norm" else outcome.loss
    path, starts = folder / f"diverged_step_{step}.json", outcome.result.starts()
    if parallel.is_main_process():
        document = {"step": step, field: str(found), "starts": starts}
        write_file(path, (json.dumps(document, indent=2) + "\n").encode())
    windows = ""
    if starts:
        some = ", ".join(map(str, starts[:8])) + (", ..." if len(starts) > 8 else "")
        windows = f"Its windows start at tokens {some} of the training text (all in {path.name}). "
    return DivergedError(
        str(found),
        "a finite number",
        file=folder,
        field=f"step {step}: {field}",
        hint=f"{_culprits(outcome.result)}The step was not taken. {windows}The weights before it: {saved.name}.",
    )


def _culprits(result: StepResult) -> str:
    """Return which processes of a group have computed a loss that is not finite."""
    if result.parts is None or parallel.world_size() == 1:
        return ""
    parts = result.parts.isfinite().reshape(len(result.parts), -1).all(1).logical_not().nonzero().flatten().tolist()
    ranks = sorted({part % parallel.world_size() for part in parts})  # as in `Share`
    return f"The loss of {parallel.named(ranks)} is not finite. " if ranks else ""
