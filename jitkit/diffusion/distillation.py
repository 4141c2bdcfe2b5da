"""Few-step distillation: each step of a student learns to end where several steps of its teacher end.

The student takes Euler steps from noise over its own grid of times. From each point of its trajectory the teacher, with the
same previous estimate, takes several smaller steps to the student's next time. The velocity is linear in the estimate, so
exactly one image x would take the student there in one step, a weighted mean of the teacher's estimates::

    z + (t' - t) velocity(x, z) = z_teacher(t')

and x is the student's target. Training states are therefore the same as in sampling, and no text is needed. (Progressive
distillation, Salimans and Ho, 2202.00512, along the student's own trajectory.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import euler_step, levels_at, times_at, x_from_velocity
from jitkit.errors import ManifestError, shown
from jitkit.manifest.schema import Teacher
from jitkit.protocols import LearnedSchedule, NoiseSchedule, Sampler

MIN_STEP = 1e-6  # of the time of a pixel


@dataclass(frozen=True)
class Distillation:
    """A student, a teacher with the same codec and path, and their numbers of steps from noise to image."""

    student: Denoiser
    teacher: Denoiser
    steps: int  # of the student
    teacher_steps: int  # a multiple of steps

    def losses(self, noise: Tensor) -> Iterator[Tensor]:
        """Yield the squared errors [B] of the student's estimate in each step from `noise` [B, 3, H, W].

        Each error is a mean over channels and pixels. Gradients do not reach back into earlier steps, so a step's backward
        pass can run before the next step.
        """
        z, x_prev = noise, None
        for times in self._times():
            t, t_next = times[0], times[-1]
            target = self._target(z, x_prev, times)
            x_hat = self.student(z, _expanded(t, z), x_prev)
            yield (x_hat - target).square().mean((1, 2, 3))
            x_prev = x_hat.detach()
            z = euler_step(x_prev, z, t, t_next, self.student.schedule)

    def _times(self) -> Iterator[Tensor]:
        """Yield the teacher's times within each step of the student; the first and the last are the student's."""
        schedule, parts = self.student.schedule, self.teacher_steps // self.steps
        grid = schedule.grid(self.steps)
        for ends, times in zip(pairwise(grid), torch.split(schedule.grid(self.teacher_steps)[:-1], parts), strict=True):
            yield torch.stack((ends[0], *times[1:], ends[1]))

    @torch.no_grad()
    def _target(self, z: Tensor, x_prev: Tensor | None, times: Tensor) -> Tensor:
        """Return the image that takes `z` in one step to the end of the teacher's steps over `times`."""
        t, t_next, schedule, z_teacher = times[0], times[-1], self.student.schedule, z
        for before, after in pairwise(times):
            x_prev = self.teacher(z_teacher, _expanded(before, z), x_prev)
            z_teacher = euler_step(x_prev, z_teacher, before, after, schedule)
        if t_next == 1:
            return z_teacher
        assert x_prev is not None, "the teacher takes at least one step"
        here, there = (times_at(schedule, time, z.device) for time in (t, t_next))
        step = there - here  # of all pixels, or of each; one that is still noise, or done, does not move
        image = x_from_velocity((z_teacher - z) / step, z, levels_at(schedule, here, z.device))
        return image if step.ndim == 0 else torch.where(step > MIN_STEP, image, x_prev)


def _expanded(t: Tensor, z: Tensor) -> Tensor:
    """Return the time `t`, 0-dimensional on the CPU, for each image of `z` [B]; unlike a copy it does not wait for a GPU."""
    return torch.full((), float(t), dtype=t.dtype, device=z.device).expand(len(z))


def check_teacher(teacher: Teacher | None, sampler: Sampler, schedule: NoiseSchedule) -> None:
    """Raise ManifestError, its field relative to `[teacher]`, if distillation cannot train the student's sampler."""
    if teacher is None:
        return
    if not sampler.distillable:
        found = f"sampler {shown(sampler.name)} with these settings, which cannot be distilled"
        hint = "Set sampler.use to such a sampler, and sampler.steps to the student's number of steps."
        raise ManifestError(found, "a sampler that takes plain Euler steps, with one evaluation each", hint=hint)
    if teacher.steps % sampler.steps:
        raise ManifestError(f"{teacher.steps} with sampler.steps {sampler.steps}", "a multiple of it", field="steps")
    if isinstance(schedule, LearnedSchedule):
        raise ManifestError(
            "a schedule that learns from text", "one that does not learn", hint="A student sees no text."
        )
