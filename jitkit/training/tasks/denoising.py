"""The task of `jitkit train`: which clean picture is in this noisy one?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.data.windows import Windows
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.loss import loss_of, squared_errors, training_output
from jitkit.evaluation.validation import validation_loss
from jitkit.execution.determinism import deterministic
from jitkit.manifest.schema import Train
from jitkit.protocols import LearnedSchedule
from jitkit.training.batches import Batch, draw_batch
from jitkit.training.prefetch import Prefetcher
from jitkit.training.tasks.task import StepResult


@dataclass
class DenoisingTask:
    """Windows of text, drawn as pictures and noised; see `TrainingTask`."""

    train: Train
    denoiser: Denoiser
    windows: Windows
    validation_tokens: Tensor  # [N, L], held out
    device: torch.device

    @cached_property
    def _feed(self) -> Prefetcher:
        return Prefetcher.of_training(self.draw, self.denoiser.schedule, self.device)

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        return draw_batch(
            step,
            seed=self.train.seed,
            batch_size=self.train.batch_size,
            windows=self.windows,
            denoiser=self.denoiser,
            device=self.device,
        )

    def prefetch(self, step: int) -> None:
        """Draw the batch of a step, if it is worth it."""
        self._feed.prefetch(step)

    def backward(self, step: int) -> StepResult:
        """Leave the gradient of the batch's mean loss in the parameters; see `TrainingTask`."""
        batch, learns = self._feed.batch(step), isinstance(self.denoiser.schedule, LearnedSchedule)
        parts, size = self.train.accumulate, self.train.batch_size
        losses, errors = torch.zeros(parts, device=self.device), torch.zeros(parts, size // parts, device=self.device)
        for number, (part, condition) in enumerate(batch.parts(parts)):
            if not parallel.owns_microbatch(number):
                continue
            raw = training_output(self.denoiser, part, condition=condition)
            loss = loss_of(raw, self.denoiser, part).sum() / size
            with deterministic(self.device):
                loss.backward()  # type: ignore[no-untyped-call]
            losses[number] = loss.detach()
            if learns:
                errors[number] = squared_errors(raw, self.denoiser, part)
        parallel.all_reduce_gradients(self.denoiser.network)
        parallel.all_reduce_sum([losses, errors] if learns else [losses])
        observed = (batch.noised.t, errors.flatten()) if learns else None
        return StepResult(losses.sum(), batch.noised.tokens.numel(), batch.starts, observed)

    def validation_loss(self, advance: Callable[[int], None]) -> float:
        """Return the loss of the held-out windows, see `jitkit.evaluation.validation`."""
        return validation_loss(
            self.denoiser,
            self.validation_tokens,
            seed=self.train.seed,
            batch_size=self.train.batch_size // self.train.accumulate,
            device=self.device,
            advance=advance,
        )
