"""Functions of the caller that a run reports to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Values = Mapping[str, float]
"""A line of `metrics.jsonl`."""


@dataclass
class Callbacks:
    """Called after a step, after a validation, and after a checkpoint is written. Return values are ignored.

    Unlike a plugin, a callback may raise: the run then saves its state, and the error reaches the caller of `train`.
    """

    on_step: Callable[[Values], object] | None = None
    on_validation: Callable[[Values], object] | None = None
    on_checkpoint: Callable[[Path], object] | None = None
    error: BaseException | None = field(default=None, init=False)  # raised by one of them

    def step(self, values: Values) -> None:
        """Report a step."""
        self._call(self.on_step, dict(values))

    def validated(self, values: Values) -> None:
        """Report a validation."""
        self._call(self.on_validation, dict(values))

    def saved(self, path: Path) -> None:
        """Report a checkpoint."""
        self._call(self.on_checkpoint, path)

    def _call(self, function: Callable[[Any], object] | None, argument: object) -> None:
        if function is None or self.error is not None:  # one that raised is not called again
            return
        try:
            function(argument)
        except BaseException as error:
            self.error = error
            raise
