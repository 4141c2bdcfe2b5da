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
    """Event files in the folder `tensorboard` of the run; `tensorboard --logdir run` shows them (extra: tensorboard)."""

    name: ClassVar[str] = "tensorboard"

    def build(self, folder: Path) -> OpenEvents:
        """Open the event file. Raises ResourceError when TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ResourceError(
                "no package tensorboard",
                "it for the tracker of that name",
                field="train.trackers",
                hint="pip install 'jitkit[tensorboard]'",
            ) from error
        return OpenEvents(SummaryWriter(str(folder / "tensorboard")))


class OpenEvents:
    """An open event file: a scalar a number, at its step."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each number but the step itself."""
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
