"""Runs of wandb and trackio, which share an API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitkit.protocols import TrackedSample
from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.service import SAMPLES, ServiceTracker, pictures


class LoggedRun(ServiceTracker):
    """An open run of `module`, wandb or trackio."""

    def __init__(self, module: Any, opened: Any, run: TrackedRun, last: Mapping[str, int]) -> None:
        super().__init__(run, last)
        self._module, self._opened = module, opened

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        self._opened.log(dict(values), step=step)

    def send_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Log a table of texts, and a picture or two for each."""
        table = self._module.Table(columns=["seed", "text"], data=[[sample.seed, sample.text] for sample in samples])
        images = {name: self._module.Image(picture) for name, picture in pictures(samples).items()}
        self._opened.log({SAMPLES: table, **images}, step=step)

    def close(self) -> None:
        """Send what is left."""
        self._opened.finish()


def config(run: TrackedRun) -> dict[str, Any]:
    """Return the manifest as nested tables, and as text."""
    return {**run.settings, "manifest": run.manifest}
