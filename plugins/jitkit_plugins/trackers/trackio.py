"""trackio."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.extra import imported
from jitkit_plugins.trackers.logged_run import LoggedRun, config
from jitkit_plugins.trackers.service import RESUMED, ServiceComponent

REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class TrackioTracker(ServiceComponent):
    """Log to trackio's local database, or to its server or Space in the environment (needs the `trackio` extra)."""

    name: ClassVar[str] = "trackio"

    def build(self, folder: Path) -> TrackioRun:
        """Start a run of trackio, or continue the one of this folder. Raises ResourceError if trackio is not installed."""
        trackio, run = imported("trackio", self.name), TrackedRun.read(folder)
        project = str(self.project_of(run))
        known = run.record(self.name)
        name = known or _unused(trackio, project, str(self.name_of(run)))
        with redirect_stdout(sys.stderr):
            opened = trackio.init(project=project, name=name, resume="allow", config=config(run), embed=False)
        run.remember(self.name, opened.name)
        tracker = TrackioRun(trackio, opened, run, _last_steps(run, project, opened.name) if known else {})
        tracker.catch_up()
        return tracker


class TrackioRun(LoggedRun):
    """An open run of trackio, which prints to stdout."""

    def close(self) -> None:
        """Send what is left."""
        with redirect_stdout(sys.stderr):
            super().close()


def _unused(trackio: Any, project: str, name: str) -> str:
    """Return a name that no run of the project has, since trackio finds runs by their names."""
    try:
        taken = {run.name for run in trackio.Api().runs(project)}
    except ValueError:  # a new project
        return name
    names = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(each for each in names if each not in taken)


def _last_steps(run: TrackedRun, project: str, name: str) -> dict[str, int]:
    """Return the last step of each kind of entry of a continued run. That of the log is assumed if it is elsewhere."""
    if any(map(os.environ.get, REMOTE)):
        return dict.fromkeys(RESUMED, run.last_step)
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs(project, name)
    return {kind: max((int(row["step"]) for row in rows if kind in row), default=-1) for kind in RESUMED}
