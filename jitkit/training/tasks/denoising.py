"""The task of `jitkit train`: estimate the clean image from a noisy one."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.training_pass import loss_of, squared_errors, training_output
from jitkit.evaluation.validation import validation_losses
from jitkit.execution.determinism import deterministic
from jitkit.manifest.schema import Train
from jitkit.parallel.sharding import sum_gradients
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.training.batches import Batch
from jitkit.training.tasks.task import Lap, StepResult, no_lap


class Prefetcher:
    """The batches of a run. With `ahead`, `prefetch` draws the next one early."""

    def __init__(self, draw: Callable[[int], Batch], *, ahead: bool) -> None:
        self._draw, self._ahead = draw, ahead
        self._next: tuple[int, Batch] | None = None

    @classmethod
    def of_training(cls, draw: Callable[[int], Batch], schedule: NoiseSchedule, device: torch.device) -> Self:
        """Return the batches of a run on `device`, drawn ahead on a GPU unless the schedule learns from each step."""
        return cls(draw, ahead=device.type != "cpu" and not isinstance(schedule, LearnedSchedule))

    def batch(self, step: int) -> Batch:
        """Return the batch of step `step`."""
        ready, self._next = self._next, None
        return ready[1] if ready is not None and ready[0] == step else self._draw(step)

    def prefetch(self, step: int) -> None:
        """Draw the batch of step `step` now if batches are drawn ahead."""
        if self._ahead:
            self._next = step, self._draw(step)


@dataclass
class DenoisingTask:
    """Windows of text, encoded as images and noised; see `TrainingTask`."""

    train: Train
    denoiser: Denoiser
    batches: Prefetcher
    validation_tokens: Tensor  # [N, L], held out
    device: torch.device
    lap: Lap = no_lap

    def prefetch(self, step: int) -> None:
        """Draw the batch of step `step` if a GPU is busy meanwhile."""
        self.batches.prefetch(step)

    def backward(self, step: int) -> StepResult:
        """Add the gradient of the batch's mean loss to the parameters; see `TrainingTask`."""
        batch, learns = self.batches.batch(step), isinstance(self.denoiser.schedule, LearnedSchedule)
        self.lap("data")
        share = batch.share
        losses = torch.zeros(share.num_passes * share.world, device=self.device)
        errors = torch.zeros(len(losses), share.size, device=self.device)
        for one, images, condition in batch.passes():
            raw = training_output(self.denoiser, images, condition=condition)
            loss = loss_of(raw, self.denoiser, images)[: one.num_real].sum() / share.batch_size
            self.lap("forward")
            sum_gradients(self.denoiser.network, now=one.is_last)
            with deterministic(self.device):
                loss.backward()  # type: ignore[no-untyped-call]
            losses[one.number] = loss.detach()
            if learns:
                errors[one.number] = squared_errors(raw, self.denoiser, images)
            self.lap("backward")
        parallel.all_reduce_sum([losses, errors] if learns else [losses])
        observed = (batch.t, errors.flatten()[: share.batch_size]) if learns else None
        num_tokens = share.batch_size * self.denoiser.codec.capacity
        return StepResult(losses.sum(), num_tokens, batch.starts, losses, observed)

    @property
    def num_validation_losses(self) -> int:
        """One per held-out window."""
        return len(self.validation_tokens)

    def validation_losses(self, denoiser: Denoiser) -> Generator[tuple[float, int], None, None]:
        """Yield the losses of the held-out windows; see `TrainingTask` and `jitkit.evaluation.validation`."""
        size = self.train.batch_size // self.train.accumulate
        own = parallel.dealt(torch.split(self.validation_tokens, size))
        if not own:
            return
        for losses in validation_losses(
            denoiser, torch.cat(list(own)), seed=self.train.seed, batch_size=size, device=self.device
        ):
            yield math.fsum(losses), len(losses)
