"""Telling others what happens: `metrics.jsonl`, trackers and plugins. Only the first may stop a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from jitkit.discovery.loader import PluginManager
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
        self._failed: set[str] = set()

    def step(self, values: Mapping[str, float]) -> None:
        """Report an optimizer step; `values` is its line in `metrics.jsonl`."""
        self.numbers(values)
        self.notify("jitkit_step_finished", step=int(values["step"]), values=values)

    def numbers(self, values: Mapping[str, float]) -> None:
        """Write one line to `metrics.jsonl` and to every tracker."""
        self._log.append(values)
        for name, tracker in self._trackers.items():
            self._guard(f"tracker {name}", partial(tracker.log, int(values["step"]), values))

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a notice hook of every plugin, each on its own."""
        known = {"folder": self._folder, **arguments}
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            wanted = {name: known[name] for name in implementation.argnames}
            self._guard(
                f"plugin {implementation.plugin_name}, {hook}",
                partial(implementation.function, **wanted),
            )

    def close(self) -> None:
        """Close the log and the trackers."""
        for name, tracker in self._trackers.items():
            self._guard(f"tracker {name}", tracker.close)
        self._log.close()

    def _guard(self, who: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Stopped:  # a second signal came while the other party was at work
            raise
        except Exception as error:
            if who not in self._failed:
                self._failed.add(who)
                self._note(f"warning: {who} failed: {type(error).__name__}: {error} (said once; training goes on)")
