"""What a model learns from: text under noise, or another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class StepResult:
    """What a step was about, beside the gradient that it left in the parameters."""

    loss: Tensor  # 0-dimensional: the mean over the batch
    num_tokens: int
    starts: list[int] = field(default_factory=list)  # of its windows, where there are any; see `Batch`
    observed: tuple[Tensor, Tensor] | None = None  # times and squared errors [B], for a schedule that learns from them


class TrainingTask(Protocol):
    """Where the gradient of a step comes from, and what the network is measured by.

    Step k and all its randomness are a function of the seed, k and the weights, so that resuming has nothing to lose.
    """

    def backward(self, step: int) -> StepResult:
        """Add the gradient of a step's mean loss to that of the parameters; nothing else changes."""
        ...

    def prefetch(self, step: int) -> None:
        """Make ready what the next step needs and does not depend on the weights, if a GPU is busy meanwhile."""
        ...

    def validation_loss(self, advance: Callable[[int], None]) -> float:
        """Return the loss of the network as it is, under noise that never changes; `advance` is told of each batch."""
        ...
