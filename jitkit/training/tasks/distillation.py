"""The task of `jitkit train --teacher`: reach in one step what the teacher reaches in several."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.diffusion.distillation import Distillation
from jitkit.evaluation.context import eval_mode
from jitkit.execution.determinism import deterministic
from jitkit.execution.device import to_device
from jitkit.manifest.schema import Train
from jitkit.training.batches import step_generator
from jitkit.training.tasks.task import StepResult

VALIDATION = -1  # step number that seeds the noise of validation; no step of training has it


@dataclass
class DistillationTask:
    """Sampling trajectories from noise, each step compared with the teacher's; see `TrainingTask`. Needs no text."""

    train: Train
    distillation: Distillation
    device: torch.device

    def prefetch(self, step: int) -> None:
        """Do nothing: everything in a step except its noise depends on the weights."""

    def backward(self, step: int) -> StepResult:
        """Add the gradient of the mean loss of a batch of trajectories to the parameters; see `TrainingTask`."""
        noise, student = self._noise(step, self.train.batch_size), self.distillation.student
        losses = torch.zeros(self.train.accumulate, self.distillation.steps, device=self.device)
        for number, part in enumerate(self._parts(noise)):
            if not parallel.owns_microbatch(number):
                continue
            for index, errors in enumerate(self.distillation.losses(part)):
                loss = errors.sum() / (self.train.batch_size * self.distillation.steps)
                with deterministic(self.device):
                    loss.backward()  # type: ignore[no-untyped-call]
                losses[number, index] = loss.detach()
        parallel.all_reduce_gradients(student.network)
        parallel.all_reduce_sum([losses])
        return StepResult(losses.flatten().sum(), len(noise) * student.codec.capacity, parts=losses)

    @property
    def num_validation_losses(self) -> int:
        """One per trajectory and step."""
        return self.train.validation_windows * self.distillation.steps

    @torch.no_grad()
    def validation_losses(self) -> Generator[tuple[float, int], None, None]:
        """Yield the losses in each step of `train.validation_windows` trajectories from fixed noise; see `TrainingTask`."""
        with eval_mode(self.distillation.student.network):
            for part in self._parts(self._noise(VALIDATION, self.train.validation_windows)):
                for errors in self.distillation.losses(part):
                    yield float(errors.sum()), len(errors)

    def _parts(self, noise: Tensor) -> tuple[Tensor, ...]:
        return torch.split(noise, self.train.batch_size // self.train.accumulate)

    def _noise(self, step: int, num: int) -> Tensor:
        """Return the noise [num, 3, H, W] in which the trajectories of a step start."""
        student = self.distillation.student
        size = student.codec.image_size
        noise = torch.randn(num, 3, size, size, generator=step_generator(self.train.seed, step))
        return to_device(noise, self.device) * student.schedule.noise_scale
