"""Conformance tests of trackers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from jitkit.filesystem import entries, folders_below, is_file, size_of
from jitkit.protocols import TrackerComponent
from jitkit.report.run_record import LOG
from jitkit.storage.atomic import open_log


def values_are_kept(component: TrackerComponent) -> None:
    """A closed tracker has written its values to the run's folder, and keeps them when it is opened there again.

    A tracker of a service is not opened.
    """
    if getattr(component, "is_service", False):
        return
    sizes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for steps in (range(0), range(1, 51), range(51, 52)):
            tracker = component.build(folder)
            with open_log(folder / LOG) as log:
                for step in steps:
                    values = {"step": step, "loss": 0.5, "lr": 1e-3}
                    log.write(json.dumps(values) + "\n")
                    tracker.log(step, values)
            tracker.close()
            sizes.append(_size(folder) - size_of(folder / LOG))
    assert sizes[1] > sizes[0], "nothing was written to the folder"
    assert sizes[2] > sizes[1], "the second run replaced the first"


def _size(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(size_of(path) for place in folders_below(folder) for path in entries(place) if is_file(path))
