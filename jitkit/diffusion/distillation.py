"""Distillation: a student learns to land, with each step of its walk, where several steps of its teacher lead.

The student walks by Euler from noise, over times of its own. From where it stands, shown the estimate that it is shown, its
teacher walks to the student's next time in a few smaller steps. The velocity is linear in the estimate, so there is one image x
that would take the student there in a single step, a weighted mean of what the teacher saw on the way::

    z + (t' - t) velocity(x, z) = z_teacher(t')

and x is what the student is to see. So it sees in training the very states that it will see when it writes, and no text is
needed. (Progressive distillation, Salimans and Ho, 2202.00512, along the student's own walk.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import euler_step, x_from_velocity
from jitkit.errors import ManifestError, shown
from jitkit.manifest.schema import Teacher
from jitkit.protocols import LearnedSchedule, NoiseSchedule, Sampler


@dataclass(frozen=True)
class Distillation:
    """A student, a teacher of the same codec and path, and how many steps each of them takes from noise to an image."""

    student: Denoiser
    teacher: Denoiser
    steps: int  # of the student
    teacher_steps: int  # a multiple of them

    def losses(self, noise: Tensor) -> Iterator[Tensor]:
        """Yield for each step of the student's walk from `noise` [B, 3, H, W] the squared error of its estimates [B].

        The mean over channels and pixels, against what the teacher's steps amount to, with a gradient where gradients are
        on. A step does not reach back into the one before: each error may have its backward pass before the next is asked for.
        """
        z, x_prev = noise, None
        for times in self._times():
            t, t_next = times[0], times[-1]
            seen = self._seen_by_teacher(z, x_prev, times)
            x_hat = self.student(z, _at(t, z), x_prev)
            yield (x_hat - seen).square().mean((1, 2, 3))
            x_prev = x_hat.detach()
            z = euler_step(x_prev, z, t, t_next, self.student.schedule)

    def _times(self) -> Iterator[Tensor]:
        """Yield for each step of the student the times of its teacher's steps; the first and the last are the student's."""
        schedule, parts = self.student.schedule, self.teacher_steps // self.steps
        grid = schedule.grid(self.steps)
        for ends, times in zip(pairwise(grid), torch.split(schedule.grid(self.teacher_steps)[:-1], parts), strict=True):
            yield torch.stack((ends[0], *times[1:], ends[1]))

    @torch.no_grad()
    def _seen_by_teacher(self, z: Tensor, x_prev: Tensor | None, times: Tensor) -> Tensor:
        """Return the image that takes `z` in one step where the teacher's steps over `times` take it."""
        t, t_next, schedule, there = times[0], times[-1], self.student.schedule, z
        for before, after in pairwise(times):
            x_prev = self.teacher(there, _at(before, z), x_prev)
            there = euler_step(x_prev, there, before, after, schedule)
        return there if t_next == 1 else x_from_velocity((there - z) / (t_next - t), z, schedule.levels(t))


def _at(t: Tensor, z: Tensor) -> Tensor:
    """Return the time `t`, 0-dimensional on the CPU, for each image of `z` [B]; a copy would have to wait for a GPU."""
    return torch.full((), float(t), dtype=t.dtype, device=z.device).expand(len(z))


def check_teacher(teacher: Teacher | None, sampler: Sampler, schedule: NoiseSchedule) -> None:
    """Raise ManifestError, its field within the table `[teacher]`, for a student that could not walk as it learns to."""
    if teacher is None:
        return
    if sampler.name != "euler":
        raise ManifestError(
            f"a student that writes by {shown(sampler.name)}",
            "sampler.use = 'euler', by which it learns to walk",
            hint="--set 'sampler={use=\"euler\", steps=8}'",
        )
    if teacher.steps % sampler.steps:
        raise ManifestError(
            f"{teacher.steps} beside sampler.steps {sampler.steps}",
            "a multiple: each step is cut in parts",
            field="steps",
        )
    if isinstance(schedule, LearnedSchedule):
        raise ManifestError("a schedule that learns from text", "one that does not", hint="A student sees no text.")
