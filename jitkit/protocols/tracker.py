"""Where the numbers of a run go besides `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable


class Tracker(Protocol):
    """An open tracker. A tracker that fails never stops a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers of a training step or validation."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


@runtime_checkable
class TrackerComponent(Protocol):
    """Settings of a tracker, named in `train.trackers`. Law: a closed tracker has written what it was given."""

    name: ClassVar[str]

    def build(self, folder: Path) -> Tracker:
        """Open the tracker for the run in `folder`. Raises ResourceError when its package is not installed."""
        ...
