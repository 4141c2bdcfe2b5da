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
from jitkit.diffusion.process import velocity_from_x, x_from_velocity
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
        schedule, z, x_prev = self.student.schedule, noise, None
        grid = schedule.grid(self.steps)
        for t, t_next, on_the_way in zip(grid, grid[1:], self._between(grid), strict=False):
            seen = self._seen_by_teacher(z, x_prev, torch.cat((t[None], on_the_way, t_next[None])))
            x_hat = self.student(z, t.to(z.device).expand(len(z)), x_prev)
            yield (x_hat - seen).square().mean((1, 2, 3))
            x_prev = x_hat.detach()
            z = euler_step(x_prev, z, t, t_next, schedule)

    def _between(self, grid: Tensor) -> Iterator[Tensor]:
        """Yield the times that the teacher passes through within each step of the student."""
        parts = self.teacher_steps // self.steps
        for times in torch.split(self.student.schedule.grid(self.teacher_steps)[:-1], parts):
            yield times[1:]

    @torch.no_grad()
    def _seen_by_teacher(self, z: Tensor, x_prev: Tensor | None, times: Tensor) -> Tensor:
        """Return the image that takes `z` in one step where the teacher's steps over `times` take it."""
        t, t_next, schedule, there = times[0], times[-1], self.student.schedule, z
        for before, after in pairwise(times):
            x_prev = self.teacher(there, before.to(z.device).expand(len(z)), x_prev)
            there = euler_step(x_prev, there, before, after, schedule)
        return there if t_next == 1 else x_from_velocity((there - z) / (t_next - t), z, schedule.levels(t))


def euler_step(x_hat: Tensor, z: Tensor, t: Tensor, t_next: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return `z` at `t_next` from `z` at `t` along the velocity that `x_hat` stands for; at 1 it is `x_hat`."""
    return x_hat if t_next == 1 else z + (t_next - t) * velocity_from_x(x_hat, z, schedule.levels(t))


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
