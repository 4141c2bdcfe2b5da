"""Reporting a run: `metrics.jsonl`, trackers, plugins, and steps that diverged.

Only a failure of `metrics.jsonl` stops the run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from jitkit import parallel
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import DivergedError, Stopped
from jitkit.protocols import Tracker, TrackerComponent
from jitkit.storage.atomic import write_file, writing
from jitkit.training.step import StepOutcome

TIMES = ("seconds", "tokens_per_second")  # keys that differ between identical runs


class MetricsLog:
    """An open `metrics.jsonl`. Every line is flushed before the next step starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = path.open("a", encoding="utf-8")

    def append(self, values: Mapping[str, object]) -> None:
        """Write one line. Raises ResourceError if that fails, for example because the disk is full."""
        with writing(self.path):
            self._file.write(json.dumps(values, allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def truncate(path: Path, step: int, *, validated: bool) -> None:
    """Delete the lines of `metrics.jsonl` after `step`, so that a resumed run writes no line twice.

    A validation at `step` is kept only if the checkpoint was `validated`: after Ctrl-C, a run validates once more, which the
    uninterrupted run does not.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            break  # the process was killed while writing this line
        if values["step"] > step or (values["step"] == step and "validation_loss" in values and not validated):
            break
        kept.append(line + "\n")
    write_file(path, "".join(kept).encode())


class Reporter:
    """Passes numbers on. A tracker or plugin that fails is named once and does not stop the run."""

    def __init__(
        self,
        folder: Path,
        log: MetricsLog,
        trackers: Mapping[str, Tracker],
        manager: PluginManager,
        note: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._log = log
        self._trackers = trackers
        self._manager = manager
        self._note = note
        self._failed: set[tuple[str, ...]] = set()

    def step(self, values: Mapping[str, float]) -> None:
        """Report an optimizer step; `values` is its line in `metrics.jsonl`."""
        self.numbers(values)
        self.notify("jitkit_step_finished", step=int(values["step"]), values=values)

    def numbers(self, values: Mapping[str, float]) -> None:
        """Write one line to `metrics.jsonl` and to every tracker."""
        self._log.append(values)
        for name, tracker in self._trackers.items():
            self._guard(name, partial(tracker.log, int(values["step"]), values))

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a notice hook of every plugin."""
        self._manager.notify(hook, self.warn_once, folder=self._folder, **arguments)

    def close(self) -> None:
        """Close the log and the trackers."""
        for name, tracker in self._trackers.items():
            self._guard(name, tracker.close)
        self._log.close()

    def warn_once(self, text: str) -> None:
        """Print a warning, unless an earlier one began alike, with the same component and error."""
        failure = tuple(text.split(": ")[:2])
        if failure not in self._failed:
            self._failed.add(failure)
            self._note(f"{text} (shown once; training continues)")

    def _guard(self, tracker: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Stopped:  # a second signal arrived while the tracker was working
            raise
        except Exception as error:
            self.warn_once(f"warning: tracker {tracker}: {type(error).__name__}: {error}")


def open_reporter(
    folder: Path, trackers: tuple[str, ...], manager: PluginManager, note: Callable[[str], None]
) -> Reporter:
    """Return the reporter of a run. Only the main process of a group reports anything."""
    if not parallel.is_main_process():
        return Reporter(folder, MetricsLog(Path(os.devnull)), {}, create_plugin_manager(autoload=False), note)
    registry = Registry(manager)
    log = MetricsLog(folder / "metrics.jsonl")
    return Reporter(folder, log, {name: _open_tracker(name, registry, folder) for name in trackers}, manager, note)


def _open_tracker(name: str, registry: Registry, folder: Path) -> Tracker:
    component = registry.component("trackers", name)()
    assert isinstance(component, TrackerComponent)  # `resolve` has checked the name
    return component.build(folder)


def report_divergence(folder: Path, step: int, outcome: StepOutcome, saved: Path) -> DivergedError:
    """Write `diverged_step_{N}.json` and return the error of step `step` (from 1), which was not taken.

    The file holds the value that is not finite, and where the windows of the batch start in the training text. `saved` is
    the checkpoint of the weights before the step.
    """
    field, found = ("grad_norm", outcome.grad_norm) if math.isfinite(outcome.loss) else ("loss", outcome.loss)
    path, starts = folder / f"diverged_step_{step}.json", outcome.result.starts
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
        hint=f"The step was not taken. {windows}The weights before it: {saved.name}.",
    )
