"""What is measured of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jitkit.evaluation.subject import Subject

Measurement = Mapping[str, float] | Sequence[Mapping[str, float]]
"""Named numbers, or rows of named numbers (one row a time t, say)."""


@runtime_checkable
class Metric(Protocol):
    """One key of the report. Laws: known value on a known model; independent of the order of windows; empty input raises."""

    name: ClassVar[str]

    def measure(self, subject: Subject) -> Measurement:
        """Measure the model on the held-out windows of `subject`. Raises InputError when there are none."""
        ...
