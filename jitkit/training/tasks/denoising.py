"""The task of `jitkit train`: estimate the clean image from a noisy one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.loss import loss_of, squared_errors, training_output
from jitkit.evaluation.validation import validation_losses
from jitkit.execution.determinism import deterministic
from jitkit.manifest.schema import Train
from jitkit.protocols import LearnedSchedule
from jitkit.training.prefetch import Prefetcher
from jitkit.training.tasks.task import Lap, StepResult, no_lap


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
        num_parts, size = self.train.accumulate, self.train.batch_size
        losses = torch.zeros(num_parts, device=self.device)
        errors = torch.zeros(num_parts, size // num_parts, device=self.device)
        for number, (part, condition) in enumerate(batch.parts(num_parts)):
            if not parallel.owns_microbatch(number):
                continue
            raw = training_output(self.denoiser, part, condition=condition)
            loss = loss_of(raw, self.denoiser, part).sum() / size
            self.lap("forward")
            with deterministic(self.device):
                loss.backward()  # type: ignore[no-untyped-call]
            losses[number] = loss.detach()
            if learns:
                errors[number] = squared_errors(raw, self.denoiser, part)
            self.lap("backward")
        parallel.all_reduce_gradients(self.denoiser.network)
        parallel.all_reduce_sum([losses, errors] if learns else [losses])
        observed = (batch.noised.t, errors.flatten()) if learns else None
        return StepResult(losses.sum(), batch.noised.tokens.numel(), batch.starts, observed)

    def validation_loss(self, advance: Callable[[int], None]) -> float:
        """Return the mean loss of the held-out windows; see `jitkit.evaluation.validation`."""
        losses = validation_losses(
            self.denoiser,
            self.validation_tokens,
            seed=self.train.seed,
            batch_size=self.train.batch_size // self.train.accumulate,
            device=self.device,
            advance=advance,
        )
        return fmean(losses)
