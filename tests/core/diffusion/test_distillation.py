"""What a student is shown to learn, on paths that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from jitkit.assembly import assemble
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.distillation import Distillation
from jitkit.diffusion.process import euler_step
from jitkit.errors import ManifestError
from tests.tiny import resolved

STEPS, TEACHER_STEPS = 4, 20


class Shown(nn.Module):
    """A network that remembers what it was asked, and answers with what it sees, made smaller."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))
        self.asked: list[tuple[float, Tensor, Tensor | None]] = []

    def forward(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        self.asked.append((float(t[0]), z.detach().clone(), x_prev))
        return self.share * (z if x_prev is None else z + x_prev)


def denoiser(share: float, *overrides: str) -> Denoiser:
    """Return a model whose answers can be written down."""
    return replace(assemble(resolved("objective.known=0", *overrides)).denoiser, network=Shown(share))


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def trajectory(model: Denoiser, z: Tensor, times: Tensor, x_prev: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield z and the estimate after each step of a sampling trajectory over `times`."""
    for t, t_next in pairwise(times):
        x_prev = model(z, t.expand(len(z)), x_prev)
        z = euler_step(x_prev, z, t, t_next, model.schedule)
        yield z, x_prev


@pytest.mark.parametrize("schedule", ["flow", "cosine", "rolling"])
def test_a_student_that_saw_what_it_is_shown_would_stand_where_its_teacher_stands(
    noise: Tensor, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, teacher = denoiser(0.3, f"schedule.use={schedule}"), denoiser(0.5, f"schedule.use={schedule}")
    grid, fine = student.schedule.grid(STEPS), student.schedule.grid(TEACHER_STEPS)
    z, x_prev = noise, None
    for index, errors in enumerate(Distillation(student, teacher, STEPS, TEACHER_STEPS).losses(noise)):
        times = fine[index * 5 : index * 5 + 6]
        assert times[0] == grid[index]
        *_, (there, _) = trajectory(teacher, z, times, x_prev)
        x_hat = student(z, times[0].expand(2), x_prev).detach()
        # the error is the image that would lead there, less what the student sees
        seen = _that_leads(z, there, times[0], times[-1], student)
        assert torch.allclose(errors, (x_hat - seen).square().mean((1, 2, 3)), rtol=1e-4)
        assert torch.allclose(euler_step(seen, z, times[0], times[-1], student.schedule), there, atol=1e-5)
        z, x_prev = euler_step(x_hat, z, times[0], times[-1], student.schedule), x_hat


def test_pixels_that_do_not_move_have_a_target(noise: Tensor) -> None:
    schedule = "schedule={use='rolling', lead=40.0, max_lead=40.0}"
    student, teacher = denoiser(0.3, schedule), denoiser(0.5, schedule)
    for errors in Distillation(student, teacher, STEPS, TEACHER_STEPS).losses(noise):
        assert errors.isfinite().all()


def _that_leads(z: Tensor, there: Tensor, t: Tensor, t_next: Tensor, model: Denoiser) -> Tensor:
    """Return the image for which an Euler step from z ends `there`, found by two trial steps: it is linear in the image."""
    nothing = euler_step(torch.zeros_like(z), z, t, t_next, model.schedule)
    slope = euler_step(torch.ones_like(z), z, t, t_next, model.schedule) - nothing
    return (there - nothing) / slope


def test_who_takes_the_same_steps_with_the_same_weights_has_nothing_to_learn(noise: Tensor) -> None:
    model = denoiser(0.4)
    for errors in Distillation(model, model, STEPS, STEPS).losses(noise):
        errors.sum().backward()  # type: ignore[no-untyped-call]
        assert errors.max() < 1e-10
    assert isinstance(model.network, Shown)
    assert model.network.share.grad is not None
    assert abs(float(model.network.share.grad)) < 1e-4


def test_the_student_is_asked_on_its_own_walk_and_the_teacher_from_where_it_stands(noise: Tensor) -> None:
    student, teacher = denoiser(0.3), denoiser(0.5)
    list(Distillation(student, teacher, STEPS, TEACHER_STEPS).losses(noise))
    assert isinstance(student.network, Shown)
    assert isinstance(teacher.network, Shown)
    own = [z for z, _ in trajectory(denoiser(0.3), noise, student.schedule.grid(STEPS), None)]
    assert len(student.network.asked) == STEPS
    assert len(teacher.network.asked) == TEACHER_STEPS
    for index, (_, z, x_prev) in enumerate(student.network.asked):
        _, begins, shown = teacher.network.asked[index * 5]
        assert torch.allclose(z, noise if index == 0 else own[index - 1], atol=1e-6)
        assert begins.equal(z)
        assert (x_prev is None) == (shown is None) == (index == 0)
        if x_prev is not None and shown is not None:
            assert shown.equal(x_prev)
    times = [t for t, *_ in teacher.network.asked]
    assert times == student.schedule.grid(TEACHER_STEPS)[:-1].tolist()


def test_a_step_does_not_reach_back_and_the_teacher_learns_nothing(noise: Tensor) -> None:
    student, teacher = denoiser(0.3), denoiser(0.5)
    for errors in Distillation(student, teacher, STEPS, TEACHER_STEPS).losses(noise):
        errors.sum().backward()  # type: ignore[no-untyped-call]
    assert isinstance(student.network, Shown)
    assert isinstance(teacher.network, Shown)
    assert student.network.share.grad is not None
    assert teacher.network.share.grad is None


@pytest.mark.parametrize("schedule", ["flow", "cosine", "fitted"])
def test_times_rise_on_every_grid(schedule: str, noise: Tensor) -> None:
    teacher = denoiser(0.5, f"schedule.use={schedule}")
    list(Distillation(denoiser(0.3, f"schedule.use={schedule}"), teacher, 8, 64).losses(noise))
    assert isinstance(teacher.network, Shown)
    times = [t for t, *_ in teacher.network.asked]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (("teacher.steps=10",), "teacher.steps"),
        (("teacher.steps=9", 'sampler={use="heun", steps=3}'), "teacher"),
        (("teacher.steps=9", 'sampler={use="euler", steps=3, passes=2}'), "teacher"),
        (("teacher.steps=9", "schedule.use=gumbel"), "teacher"),
    ],
)
def test_a_student_that_could_not_walk_as_it_learns_to_is_refused(overrides: tuple[str, ...], field: str) -> None:
    with pytest.raises(ManifestError) as caught:
        assemble(resolved(*overrides))
    assert caught.value.problems[0].field == field
