"""Conformance tests of trackers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jitkit.filesystem import entries, folders_below, is_file, size_of
from jitkit.protocols import TrackerComponent


def values_are_kept(component: TrackerComponent) -> None:
    """A closed tracker has written its values to the run's folder, and keeps them when it is opened there again."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for steps in (range(0), range(1, 51), range(51, 52)):
            tracker = component.build(Path(folder))
            for step in steps:
                tracker.log(step, {"step": step, "loss": 0.5, "lr": 1e-3})
            tracker.close()
            sizes.append(
                sum(size_of(path) for place in folders_below(Path(folder)) for path in entries(place) if is_file(path))
            )
    assert sizes[1] > sizes[0], "nothing was written to the folder"
    assert sizes[2] > sizes[1], "the second run replaced the first"
