"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from jitkit.component import Component
from jitkit.protocols import TrackedSample
from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.extra import imported, require
from jitkit_plugins.trackers.service import numbers, pictures

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorboardTracker(Component):
    """Write TensorBoard event files to `tensorboard/` in the run folder (needs the `tensorboard` extra)."""

    name: ClassVar[str] = "tensorboard"

    def require(self) -> None:
        """Raise ResourceError if TensorBoard is not installed."""
        require(self.name)

    def build(self, folder: Path) -> TensorboardLog:
        """Open a new event file, which replaces earlier events after the last step of the log.

        Raises ResourceError if TensorBoard is not installed.
        """
        writer, run = imported("torch.utils.tensorboard", self.name).SummaryWriter, TrackedRun.read(folder)
        log = TensorboardLog(writer(str(folder / "tensorboard"), purge_step=run.last_step + 1))
        if not run.log:
            log.add_manifest(run.manifest)
        return log


class TensorboardLog:
    """An open event file with one scalar per value, and one text and image per sample."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def add_manifest(self, manifest: str) -> None:
        """Log the manifest as a text."""
        self._writer.add_text("manifest", _code(manifest), 0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log each value except the step."""
        for name, value in numbers(values).items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a run that is killed now may continue after this step

    def log_samples(self, step: int, samples: Sequence[TrackedSample]) -> None:
        """Log texts and pictures."""
        for sample in samples:
            self._writer.add_text(f"text/seed-{sample.seed}", _code(sample.text), step)
        for name, picture in pictures(samples).items():
            self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def _code(text: str) -> str:
    """Return a text as Markdown that shows it as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())
