"""Trackers of services: their settings, and sending each line of the log and each sample once."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from PIL import Image
from pydantic import Field

from jitkit.component import Component
from jitkit.protocols import TrackedSample
from jitkit.report.tracked_run import RECORDS, TrackedRun
from jitkit.report.tracked_samples import tracked_samples
from jitkit.storage.png import rgb_pixels
from jitkit_plugins.trackers.extra import require

LOSS, VALIDATION_LOSS = "loss", "validation_loss"  # a line of the log has one of them
SAMPLES = "samples"
RESUMED = (LOSS, VALIDATION_LOSS, SAMPLES)  # where a record ends shows where it goes on


class ServiceComponent(Component):
    """Settings of a tracker whose record is at a service, or in a database of several runs."""

    files: ClassVar[tuple[str, ...]] = (RECORDS,)
    is_service: ClassVar[bool] = True

    project: str | None = Field(None, min_length=1, description="project of the run; default: the id of the manifest")
    run: str | None = Field(None, min_length=1, description="name of the run; default: that of its folder")

    def require(self) -> None:
        """Raise ResourceError if the package is not installed."""
        require(self.name)

    def project_of(self, run: TrackedRun, variable: str = "") -> str | None:
        """Return the name of the project; None leaves it to the environment `variable`, which is set."""
        return self.project or (None if os.environ.get(variable) else run.model)

    def name_of(self, run: TrackedRun, variable: str = "") -> str | None:
        """Return the name of the run; None as in `project_of`."""
        return self.run or (None if os.environ.get(variable) else run.name)


class ServiceTracker(ABC):
    """An open record. `last` has the last step that is in it of `RESUMED`, up to which nothing is sent again.

    Lines of the log that are not in the record are sent first: those that a kill has cut off, or all of a run that had no
    tracker before.
    """

    def __init__(self, run: TrackedRun, last: Mapping[str, int]) -> None:
        self._run, self._last = run, last

    def catch_up(self) -> None:
        """Send the lines of the log, and the latest samples, that the record lacks."""
        gallery = self._run.gallery
        for step, lines in groupby(self._run.log, key=itemgetter("step")):
            for line in lines:
                self.log(step, line)
            if gallery is not None and gallery.step == step:
                self.log_samples(step, tracked_samples(gallery))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send a line of the log, without the step. The seconds of a validation get a name of their own."""
        if self._is_new(VALIDATION_LOSS if VALIDATION_LOSS in values else LOSS, step):
            self.send(step, numbers(values))

    def log_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Send texts and pictures."""
        if self._is_new(SAMPLES, step):
            self.send_samples(step, samples)

    def _is_new(self, kind: str, step: int) -> bool:
        return step > self._last.get(kind, -1)

    @abstractmethod
    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Send numbers."""

    @abstractmethod
    def send_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Send samples."""

    @abstractmethod
    def close(self) -> None:
        """Send what is left, and end the record."""


def numbers(values: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of a line. A validation has the step and epoch of a training step, but other `seconds`."""
    if VALIDATION_LOSS not in values:
        return {name: value for name, value in values.items() if name != "step"}
    renamed = {"seconds": "validation_seconds"}
    return {renamed.get(name, name): value for name, value in values.items() if name not in {"step", "epoch"}}


def image(png: bytes) -> Image.Image:
    """Return the image in a PNG file."""
    return Image.fromarray(rgb_pixels(png).numpy())


def pictures(samples: Sequence[TrackedSample]) -> dict[str, Image.Image]:
    """Return the pictures of samples by name: `picture/seed-0`, and `film-strip/seed-0` for those that have one."""
    found = {f"picture/seed-{sample.seed}": image(sample.picture) for sample in samples}
    strips = {f"film-strip/seed-{sample.seed}": image(sample.film_strip) for sample in samples if sample.film_strip}
    return found | strips
