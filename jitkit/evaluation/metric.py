"""The protocol of metrics."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import EvaluationContext


@runtime_checkable
class Metric(Protocol):
    """One key of the evaluation report.

    Conformance tests: a known value on a known model, independence of the order of windows, an error on empty input. A metric
    of special models states in `tiny_overrides` how the manifest of the tests' model becomes one: `("train.pack=false",)`.
    """

    name: ClassVar[str]

    def measure(self, context: EvaluationContext) -> Measurement:
        """Measure the model on the held-out windows of `context`. Raises InputError if there are none."""


@runtime_checkable
class FrontierMetric(Metric, Protocol):
    """A metric that `jitkit frontier` can use: it scores samples, and reference texts for comparison.

    It returns a row for each set of texts, labeled by `text`: "model" for the samples, "held-out" for real text.
    `frontier_columns` are the numbers that the frontier shows. Its chart draws the first against the second.
    """

    frontier_columns: ClassVar[tuple[str, ...]]


@runtime_checkable
class LikelihoodMetric(Metric, Protocol):
    """A metric that bounds the likelihood of a text, for `jitkit.Model.score` and lm-evaluation-harness.

    Its first row has `bits_per_byte` and `bits_per_token` of the windows.
    """

    measures_likelihood: ClassVar[bool]

    def window_bits(self, context: EvaluationContext, known: Tensor | None = None) -> Tensor:
        """Return the bits [M] float64 of each held-out window, of its tokens that are not `known` [M, L] bool."""
