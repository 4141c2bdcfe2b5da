"""Destinations for a run's numbers and samples, in addition to `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable


class TrackedSample(NamedTuple):
    """A generated text. Its pictures are PNG files, large enough to look at."""

    seed: int
    text: str
    picture: bytes
    film_strip: bytes | None  # its sampling trajectory; None for most samples


class Tracker(Protocol):
    """An open tracker. One that fails is closed with a warning, and the run continues."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the numbers of a training step or validation."""

    def close(self) -> None:
        """Flush and close."""


@runtime_checkable
class SampleTracker(Tracker, Protocol):
    """A tracker that also records samples."""

    def log_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Record the samples of a validation. Those of one run have the same seeds at each step."""


@runtime_checkable
class TrackerComponent(Protocol):
    """Settings of a tracker, named in `train.trackers`. Requirement: a closed tracker has written all its values.

    If a tracker writes files into the run folder, it lists their names in the class attribute `files` (a tuple), so
    that `--overwrite` deletes them. If its record is elsewhere, such as at a service, the class attribute `is_service`
    is true. If it has a method `require`, that raises ResourceError before the run begins if a package is not installed.
    `jitkit.report.tracked_run` reads what `build` needs to know of the run.
    """

    name: ClassVar[str]

    def build(self, folder: Path) -> Tracker:
        """Open the tracker for the run in `folder`. Raises ResourceError if its package is not installed.

        Any other error is a warning, and the run continues without the tracker.
        """
