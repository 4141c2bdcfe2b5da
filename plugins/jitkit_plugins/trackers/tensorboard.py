"""TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jitkit.component import Component
from jitkit.errors import ResourceError
from jitkit.filesystem import is_file, read_bytes

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorboardTracker(Component):
    """Write TensorBoard event files to `tensorboard/` in the run folder (needs the `tensorboard` extra)."""

    name: ClassVar[str] = "tensorboard"

    def build(self, folder: Path) -> TensorboardLog:
        """Open a new event file, which replaces earlier events after the last step of the log.

        Raises ResourceError if TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            expected, hint = "an installed one, for the tracker `tensorboard`", "pip install 'jitkit[tensorboard]'"
            raise ResourceError("no package tensorboard", expected, field="train.trackers", hint=hint) from error
        log = folder / "metrics.jsonl"
        lines = read_bytes(log).splitlines() if is_file(log) else []
        again = json.loads(lines[-1])["step"] + 1 if lines else 0
        return TensorboardLog(SummaryWriter(str(folder / "tensorboard"), purge_step=again))


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
