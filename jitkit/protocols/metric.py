"""What is measured of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jitkit.evaluation.subject import Subject

Row = Mapping[str, float | str]
"""Named numbers; a text says what the row is of. A number that could not be measured is left out.

The bounds of the 95 % interval of `x` are called `x_low` and `x_high`; reports show them beside it.
"""

Measurement = Mapping[str, float] | Sequence[Row]
"""Named numbers, or rows of them: one a time `t`, or one for each thing that the model is compared with."""


@runtime_checkable
class Metric(Protocol):
    """One key of the report. Laws: known value on a known model; independent of the order of windows; empty input raises."""

    name: ClassVar[str]

    def measure(self, subject: Subject) -> Measurement:
        """Measure the model on the held-out windows of `subject`. Raises InputError when there are none."""
        ...
