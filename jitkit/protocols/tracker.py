"""Destinations for a run's numbers, in addition to `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable


class Tracker(Protocol):
    """An open tracker. A tracker that fails never stops a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the numbers of a training step or validation."""

    def close(self) -> None:
        """Flush and close."""


@runtime_checkable
class TrackerComponent(Protocol):
    """Settings of a tracker, named in `train.trackers`. Requirement: a closed tracker has written all its values.

    If a tracker writes files into the run folder, it lists their names in the class attribute `files` (a tuple), so
    that `--overwrite` deletes them. `metrics.jsonl` holds what a resumed run has logged before.
    """

    name: ClassVar[str]

    def build(self, folder: Path) -> Tracker:
        """Open the tracker for the run in `folder`. Raises ResourceError if its package is not installed."""
