"""The interface of a training task: what the model learns from."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser


@dataclass(frozen=True)
class StepResult:
    """What a step yields besides the gradient in the parameters."""

    loss: Tensor  # 0-dimensional: the mean over the batch
    num_tokens: int
    starts: Callable[[], list[int]] = list  # returns where the windows of the batch start, if it has any; see `Batch`
    parts: Tensor | None = None  # [number of microbatches, ...], their losses
    observed: tuple[Tensor, Tensor] | None = None  # times and squared errors [B], for a schedule that learns from them


Lap = Callable[[str], None]
"""Called with the name of a part of the step when that part is done."""


def no_lap(part: str) -> None:
    """Ignore the parts of a step."""
    del part


class GradientTask(Protocol):
    """The source of a step's gradient.

    Step k and its randomness are a function of the seed, k, and the weights, so a resumed run equals an uninterrupted one.
    """

    def backward(self, step: int) -> StepResult:
        """Add the gradient of a step's mean loss to the parameters; change nothing else."""

    def prefetch(self, step: int) -> None:
        """Prepare what step `step` needs, as far as it does not depend on the weights, while a GPU is busy."""


class TrainingTask(GradientTask, Protocol):
    """A task that also measures the validation loss."""

    @property
    def num_validation_losses(self) -> int:
        """The number of losses of a validation."""

    def validation_losses(self, denoiser: Denoiser) -> Generator[tuple[float, int], None, None]:
        """Yield the sum and number of the losses of `denoiser` in each batch that this process computes, under fixed noise."""
