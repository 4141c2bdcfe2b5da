"""Telling others what happens: `metrics.jsonl`, trackers and plugins. Only the first may stop a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from jitkit.discovery.loader import PluginManager
from jitkit.discovery.notify import notify_plugins
from jitkit.errors import Stopped
from jitkit.protocols import Tracker
from jitkit.training.metrics_log import MetricsLog


class Reporter:
    """Passes the numbers of a run on. A tracker or plugin that fails is named once and does not stop the run."""

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

    def notify(self, hook: str, **facts: object) -> None:
        """Call a notice hook of every plugin."""
        notify_plugins(self._manager, hook, self.warn_once, folder=self._folder, **facts)

    def close(self) -> None:
        """Close the log and the trackers."""
        for name, tracker in self._trackers.items():
            self._guard(name, tracker.close)
        self._log.close()

    def warn_once(self, text: str) -> None:
        """Pass a warning on unless its beginning, which says who failed at what, was heard before."""
        who = tuple(text.split(": ")[:2])
        if who not in self._failed:
            self._failed.add(who)
            self._note(f"{text} (said once; training goes on)")

    def _guard(self, tracker: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Stopped:  # the user's second signal came while the tracker was at work
            raise
        except Exception as error:
            self.warn_once(f"warning: tracker {tracker}: {type(error).__name__}: {error}")
