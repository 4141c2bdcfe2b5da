"""Conformance tests of trackers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jitkit.protocols import TrackerComponent

VALUES = {"step": 1, "loss": 0.5, "lr": 1e-3}


def a_closed_tracker_has_written(component: TrackerComponent) -> None:
    """Logged values are on disk, in the run's folder, once the tracker is closed."""
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as folder:
        for target, steps in ((empty, 0), (folder, 50)):
            tracker = component.build(Path(target))
            for step in range(1, steps + 1):
                tracker.log(step, {**VALUES, "step": step})
            tracker.close()
        assert _num_bytes(folder) > _num_bytes(empty), "nothing was written to the folder"


def a_run_can_be_continued(component: TrackerComponent) -> None:
    """A tracker that is opened again in the same folder keeps earlier values."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for step in (1, 2):
            tracker = component.build(Path(folder))
            tracker.log(step, {**VALUES, "step": step})
            tracker.close()
            sizes.append(_num_bytes(folder))
        assert sizes[1] > sizes[0], "the second run replaced the first"


def _num_bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
