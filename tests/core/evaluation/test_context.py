"""What metrics measure, and that every figure belongs to its window and its time alone."""

from dataclasses import replace

import pytest
import torch

from jitkit.errors import InputError
from jitkit.evaluation.noise import draw_noise, window_generator
from jitkit.evaluation.recovery import estimates, noised, trajectory_grid
from jitkit.evaluation.runner import Scope, measure
from jitkit.testing.oracle import TINY, oracle_subject, tiny_pipeline, tiny_windows
from jitkit_plugins.schedules.flow import Flow


def undecided(windows, **changes):
    """Return a context of a model that remembers many windows: noise tips it."""
    return replace(oracle_subject(windows, remembered=tiny_windows(64)), **{"times": (0.02, 0.8)} | changes)


def test_a_window_comes_back_the_same_in_any_company():
    windows = tiny_windows()
    (together, _) = undecided(windows).reconstructions
    (alone, _) = undecided(windows[2:3]).reconstructions
    for name in ("one_step", "sampled", "contextless"):
        assert torch.equal(getattr(together, name)[2:3], getattr(alone, name))


def test_other_times_and_seeds_change_nothing_and_something():
    windows = tiny_windows()
    both = undecided(windows).reconstructions
    (late,) = undecided(windows, times=(0.8,)).reconstructions
    assert torch.equal(both[1].sampled, late.sampled)
    assert not torch.equal(undecided(windows, seed=1).reconstructions[0].contextless, both[0].contextless)


def test_a_window_has_the_same_noise_at_every_time():
    pipeline, windows = tiny_pipeline(), tiny_windows()
    drawn = []
    for t in (0.25, 0.75):
        at = pipeline.denoiser.schedule.levels(torch.tensor(t))
        z = noised(pipeline, windows, t, seed=0)
        drawn.append((z - at.alpha * pipeline.codec.encode(windows)) / at.sigma)
    assert torch.allclose(*drawn, atol=1e-5)


def test_the_contextless_line_reads_z_as_bright_as_the_image_was():
    """Where noise is next to nothing every codeword is read right, though at t = 0.5 all colours are half as bright."""
    faint = TINY.replace('"flow" }', '"flow", noise_scale = 1e-4 }', 1).replace('"bits"', '"base256"')
    context = replace(oracle_subject(tiny_windows()), times=(0.5,))
    pipeline = tiny_pipeline(faint)
    windows = tiny_windows(99).flatten()[: 4 * pipeline.codec.capacity].view(4, -1)
    (found,) = replace(context, pipeline=pipeline, held_out=windows).reconstructions
    assert torch.equal(found.contextless, windows)
    assert torch.equal(found.bigram, windows)


def test_a_walk_shows_the_model_its_last_estimate():
    seen = []

    class Witness:
        schedule = tiny_pipeline().denoiser.schedule

        def __call__(self, z, t, x_prev=None):
            seen.append(x_prev)
            return torch.full_like(z, float(t[0]))

        def self_conditioned(self, z, t):
            return self(z, t)

    made = list(estimates(Witness(), torch.zeros(2, 3, 8, 8), torch.tensor([0.2, 0.5, 1.0])))
    assert seen[0] is None
    assert seen[1] is made[0]
    assert len(seen) == len(made) == 2


def test_noise_belongs_to_a_window_a_seed_and_a_purpose():
    first, second = tiny_windows(2)
    asked = [(0, first, "noise"), (0, second, "noise"), (1, first, "noise"), (0, first, "walk"), (0, first, "noise")]
    drawn = [draw_noise([window_generator(*question)], 8, 2.0) for question in asked]
    assert torch.equal(drawn[0], drawn[4])
    assert len({tuple(noise.flatten().tolist()) for noise in drawn}) == 4
    assert draw_noise([window_generator(0, first, "noise")], 64, 2.0).std().item() == pytest.approx(2, rel=0.05)


def test_a_walk_begins_at_its_own_time():
    schedule = tiny_pipeline().denoiser.schedule
    grid = trajectory_grid(schedule, 0.5, 8)
    assert len(grid) == 9
    assert grid[0] == 0.5
    assert grid[-1] == 1
    assert (grid.diff() > 0).all()
    assert set(grid[1:].tolist()) <= set(schedule.grid(1024).tolist())


@pytest.mark.parametrize("t", [0.7, 0.77, 0.8, 0.9, 0.999])
def test_a_walk_has_its_steps_where_a_whole_walk_has_none(t):
    """Of 1,024 times of logit-normal(0, 0.4) the last before 1 is 0.78."""
    for steps in (1, 2, 8):
        grid = trajectory_grid(Flow(std=0.4), t, steps)
        assert len(grid) == steps + 1
        assert grid[0] == pytest.approx(t)
        assert grid[-1] == 1
        assert (grid.diff() > 0).all()


def test_recovery_is_of_the_model_whatever_it_is_sampled_with():
    """The walk is Euler's: the sampler of that name reads the same, another one is not asked."""
    context, sde = undecided(tiny_windows()), tiny_pipeline(TINY.replace('"euler"', '"sde"')).sampler
    other = replace(context, pipeline=replace(context.pipeline, sampler=sde))
    pipeline, t = context.pipeline, 0.02
    z, grid = noised(pipeline, context.windows, t, context.seed), trajectory_grid(pipeline.denoiser.schedule, t)
    walked = pipeline.codec.decode(pipeline.sampler.sample(pipeline.denoiser, z, grid, fresh_noise=lambda: 1 / 0))
    assert pipeline.sampler.name == "euler"
    assert torch.equal(context.reconstructions[0].sampled, walked)
    assert torch.equal(other.reconstructions[0].sampled, walked)
    assert not torch.equal(context.reconstructions[0].one_step, walked)


def test_noise_free_text_has_nothing_to_recover_and_noise_alone_nothing_to_compare():
    for t in (0.0, 1.0):
        with pytest.raises(InputError, match=r"eval\.times.*above 0 and below 1"):
            replace(oracle_subject(tiny_windows()), times=(0.5, t))


def test_windows_must_fill_an_image():
    with pytest.raises(InputError, match="windows of 3 tokens"):
        oracle_subject(torch.zeros(2, 3, dtype=torch.long), remembered=tiny_windows())
    with pytest.raises(InputError, match="no held-out window"):
        oracle_subject(tiny_windows()[:0], remembered=tiny_windows())


def test_measured_windows_are_spread_over_the_held_out_text():
    windows = tiny_windows(9)
    context = replace(oracle_subject(windows), num_windows=3)
    assert torch.equal(context.windows, windows[[0, 4, 8]])
    assert torch.equal(replace(context, num_windows=99).windows, windows)


def test_scope_narrows_what_is_measured():
    context = replace(oracle_subject(tiny_windows(20)), times=tuple(i / 10 for i in range(1, 10)))
    assert len(Scope(limit=5).narrow(context).held_out) == 5
    assert Scope(limit=5).narrow(context).times == context.times
    quick = Scope(quick=True).narrow(context)
    assert (len(quick.held_out), len(quick.windows)) == (16, 16)
    assert quick.times == (0.2, 0.5, 0.8)
    assert Scope().narrow(context) is context


def test_seeds_of_texts_count_up_from_the_subjects_own():
    context = replace(oracle_subject(tiny_windows(5), batch_size=2), seed=7)
    assert [text.seed for text in context.samples] == [7, 8, 9, 10, 11]


def test_progress_reaches_its_end():
    told = []
    context = replace(oracle_subject(tiny_windows()), progress=lambda *progress: told.append(progress))
    assert context.reconstructions
    assert told[-1][1] == told[-1][2] == max(done for _, done, _ in told)


def test_a_number_that_is_not_finite_is_refused():
    class Broken:
        name = "broken"

        def measure(self, context):
            return {"loss": float("nan")}

    with pytest.raises(InputError, match=r"broken\.loss: found nan; expected a finite number"):
        measure(oracle_subject(tiny_windows()), [Broken()])
