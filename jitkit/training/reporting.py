"""Reporting the numbers of a run to `metrics.jsonl`, trackers, and plugins. Only a failure of the first stops the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from jitkit import parallel
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import Stopped
from jitkit.protocols import Tracker, TrackerComponent
from jitkit.training.metrics_log import MetricsLog


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
