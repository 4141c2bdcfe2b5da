"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jitkit.component import Component
from jitkit.errors import ResourceError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorboardTracker(Component):
    """Write TensorBoard event files to `tensorboard/` in the run folder (needs the `tensorboard` extra)."""

    name: ClassVar[str] = "tensorboard"

    def build(self, folder: Path) -> TensorboardLog:
        """Open the event file. Raises ResourceError if TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            expected, hint = "an installed one, for the tracker `tensorboard`", "pip install 'jitkit[tensorboard]'"
            raise ResourceError("no package tensorboard", expected, field="train.trackers", hint=hint) from error
        return TensorboardLog(SummaryWriter(str(folder / "tensorboard")))


class TensorboardLog:
    """An open event file with one scalar per value."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log each value except the step."""
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
