"""Reconstructions depend on the window, the time, and the model only."""

from dataclasses import replace

import pytest
import torch

from jitkit.testing.oracle import TINY, oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.recovery import estimates, noised, reconstructions_of, trajectory_grid
from jitkit_plugins.schedules.flow import Flow


def undecided(windows, **changes):
    """Return a context of a model that memorized many windows, so that its result depends on the noise."""
    return replace(oracle_context(windows, remembered=tiny_windows(64)), **{"times": (0.02, 0.8)} | changes)


def test_the_reconstruction_of_a_window_does_not_depend_on_other_windows():
    windows = tiny_windows()
    (together, _) = reconstructions_of(undecided(windows))
    (alone, _) = reconstructions_of(undecided(windows[2:3]))
    for name in ("one_step", "sampled", "contextless"):
        assert torch.equal(getattr(together, name)[2:3], getattr(alone, name))


def test_a_reconstruction_depends_on_the_seed_but_not_on_other_times():
    windows = tiny_windows()
    both = reconstructions_of(undecided(windows))
    (late,) = reconstructions_of(undecided(windows, times=(0.8,)))
    assert torch.equal(both[1].sampled, late.sampled)
    assert not torch.equal(reconstructions_of(undecided(windows, seed=1))[0].contextless, both[0].contextless)


def test_a_window_has_the_same_noise_at_every_time():
    pipeline, windows = tiny_pipeline(), tiny_windows()
    drawn = []
    for t in (0.25, 0.75):
        at = pipeline.denoiser.schedule.levels(torch.tensor(t))
        z = noised(pipeline, windows, t, seed=0)
        drawn.append((z - at.alpha * pipeline.codec.encode(windows)) / at.sigma)
    assert torch.allclose(*drawn, atol=1e-5)


def test_the_baselines_decode_z_at_the_scale_of_the_image():
    """With negligible noise every codeword is decoded correctly, though at t = 0.5 all colors are half as bright."""
    faint = TINY.replace('"flow" }', '"flow", noise_scale = 1e-4 }', 1).replace('"bits"', '"base256"')
    context = replace(oracle_context(tiny_windows()), times=(0.5,))
    pipeline = tiny_pipeline(faint)
    windows = tiny_windows(99).flatten()[: 4 * pipeline.codec.capacity].view(4, -1)
    (found,) = reconstructions_of(replace(context, pipeline=pipeline, held_out=windows))
    assert torch.equal(found.contextless, windows)
    assert torch.equal(found.bigram, windows)


def test_a_trajectory_conditions_the_model_on_its_last_estimate():
    seen = []

    class RecordingDenoiser:
        schedule = tiny_pipeline().denoiser.schedule

        def __call__(self, z, t, x_prev=None):
            seen.append(x_prev)
            return torch.full_like(z, float(t[0]))

        def self_conditioned(self, z, t):
            return self(z, t)

    made = list(estimates(RecordingDenoiser(), torch.zeros(2, 3, 8, 8), torch.tensor([0.2, 0.5, 1.0])))
    assert seen[0] is None
    assert seen[1] is made[0]
    assert len(seen) == len(made) == 2


def test_a_trajectory_starts_at_its_time():
    schedule = tiny_pipeline().denoiser.schedule
    grid = trajectory_grid(schedule, 0.5, 8)
    assert len(grid) == 9
    assert grid[0] == 0.5
    assert grid[-1] == 1
    assert (grid.diff() > 0).all()
    assert set(grid[1:].tolist()) <= set(schedule.grid(1024).tolist())


@pytest.mark.parametrize("t", [0.7, 0.77, 0.8, 0.9, 0.999])
def test_a_trajectory_has_all_its_steps_even_late(t):
    """Of 1,024 times of logit-normal(0, 0.4), the last before 1 is 0.78."""
    for steps in (1, 2, 8):
        grid = trajectory_grid(Flow(std=0.4), t, steps)
        assert len(grid) == steps + 1
        assert grid[0] == pytest.approx(t)
        assert grid[-1] == 1
        assert (grid.diff() > 0).all()


def test_recovery_does_not_depend_on_the_sampler():
    """Recovery equals the Euler sampler's result, whichever sampler the model uses."""
    context, sde = undecided(tiny_windows()), tiny_pipeline(TINY.replace('"euler"', '"sde"')).sampler
    other = replace(context, pipeline=replace(context.pipeline, sampler=sde))
    pipeline, t = context.pipeline, 0.02
    z, grid = noised(pipeline, context.windows, t, context.seed), trajectory_grid(pipeline.denoiser.schedule, t)
    expected = pipeline.codec.decode(pipeline.sampler.sample(pipeline.denoiser, z, grid, fresh_noise=lambda: 1 / 0))
    assert pipeline.sampler.name == "euler"
    assert torch.equal(reconstructions_of(context)[0].sampled, expected)
    assert torch.equal(reconstructions_of(other)[0].sampled, expected)
    assert not torch.equal(reconstructions_of(context)[0].one_step, expected)


def test_progress_reaches_the_total():
    calls = []
    context = replace(oracle_context(tiny_windows()), progress=lambda *progress: calls.append(progress))
    assert reconstructions_of(context)
    assert calls[-1][1] == calls[-1][2] == max(done for _, done, _ in calls)
