"""The task of `jitkit train --teacher`: reach in one step what the teacher reaches in several."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.distillation import Distillation
from jitkit.evaluation.context import eval_mode
from jitkit.execution.determinism import deterministic
from jitkit.execution.device import to_device
from jitkit.manifest.schema import Train
from jitkit.parallel.passes import Share, share_of
from jitkit.parallel.sharding import sum_gradients
from jitkit.training.batches import row_generators, step_generator
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
        share, student = share_of(self.train.batch_size, self.train.accumulate), self.distillation.student
        noise = self._training_noise(step, share)
        losses = torch.zeros(share.num_passes * share.world, self.distillation.steps, device=self.device)
        for one in share.passes():
            for index, errors in enumerate(self.distillation.losses(noise[one.rows.start : one.rows.stop])):
                loss = errors[: one.num_real].sum() / (share.batch_size * self.distillation.steps)
                sum_gradients(student.network, now=one.is_last and index == self.distillation.steps - 1)
                with deterministic(self.device):
                    loss.backward()  # type: ignore[no-untyped-call]
                losses[one.number, index] = loss.detach()
        parallel.all_reduce_sum([losses])
        return StepResult(losses.flatten().sum(), share.batch_size * student.codec.capacity, parts=losses)

    @property
    def num_validation_losses(self) -> int:
        """One per trajectory and step."""
        return self.train.validation_windows * self.distillation.steps

    @torch.no_grad()
    def validation_losses(self, denoiser: Denoiser) -> Generator[tuple[float, int], None, None]:
        """Yield the losses in each step of `train.validation_windows` trajectories from fixed noise; see `TrainingTask`."""
        distillation = replace(self.distillation, student=denoiser.as_trained())
        with eval_mode(denoiser.network):
            noise = self._scaled(
                torch.randn(self._shape(self.train.validation_windows), generator=self._generator(VALIDATION))
            )
            for part in parallel.dealt(torch.split(noise, self.train.batch_size // self.train.accumulate)):
                for errors in distillation.losses(part):
                    yield float(errors.sum()), len(errors)

    def _training_noise(self, step: int, share: Share) -> Tensor:
        """Return the noise [N, 3, H, W] in which the trajectories of this process start in a step."""
        if self.train.draws == "batch":
            noise = torch.randn(self._shape(share.batch_size), generator=self._generator(step))
            return self._scaled(noise if share.world == 1 else noise[share.rows])
        generators = row_generators(self.train.seed, step, share.rows)
        return self._scaled(torch.cat([torch.randn(self._shape(1), generator=generator) for generator in generators]))

    def _generator(self, step: int) -> torch.Generator:
        return step_generator(self.train.seed, step)

    def _shape(self, num: int) -> tuple[int, int, int, int]:
        size = self.distillation.student.codec.image_size
        return num, 3, size, size

    def _scaled(self, noise: Tensor) -> Tensor:
        return to_device(noise, self.device) * self.distillation.student.schedule.noise_scale
