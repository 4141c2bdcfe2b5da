"""Conformance tests of samplers, on the toy distributions of `jitkit.testing.toys`, whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from jitkit.errors import JitkitError
from jitkit.protocols import Denoise, NoiseSchedule, Sampler, Step
from jitkit.testing.toys import PATHS, GaussianWorld, Oracle, TwoPointWorld, noise_source

SHAPE = (2, 3, 8, 8)
WIDTHS = (0.25, 0.5, 1.0, 2.0)
WIDE = (2, 3, 64, 64)  # 24,576 numbers, which determine a standard deviation to 0.5 %


@dataclass
class RecordingDenoiser:
    """A denoiser that records its inputs and outputs."""

    denoise: Denoise
    inputs: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    @property
    def schedule(self) -> NoiseSchedule:
        """The path of the denoiser."""
        return self.denoise.schedule

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the denoiser's estimate."""
        self.inputs.append((z, t, x_prev))
        self.outputs.append(self.denoise(z, t, x_prev))
        return self.outputs[-1]


def oracle_is_recovered(sampler: Sampler) -> None:
    """A denoiser that knows the image is recovered exactly, for any number of steps."""
    for path in PATHS:
        x = noise_source(SHAPE, 1.0, seed=1)()
        for num_steps in (1, 2, 7, sampler.steps):
            end = _sample(sampler, Oracle(path, x), SHAPE, num_steps)
            assert torch.equal(end, x), f"{num_steps} steps miss the image by {(end - x).abs().max():.1e}"


def path_is_followed(sampler: Sampler) -> None:
    """At every evaluation, z has the levels of its t: alpha of the image, sigma of noise.

    Fails at once for a sampler that runs backwards or passes a wrong time to the network.
    """
    for path in PATHS:
        x = noise_source(WIDE, 1.0, seed=1)()
        recording = RecordingDenoiser(Oracle(path, x))
        _sample(sampler, recording, WIDE, 100)
        for z, t, _ in recording.inputs:
            at = path.levels(t[0].double())
            signal = ((z * x).mean() / x.square().mean()).item()
            noise = ((z - signal * x).std() / path.noise_scale).item()
            found, expected = (signal, noise), (at.alpha.item(), at.sigma.item())
            assert math.dist(found, expected) < 0.04 * max(1, path.noise_scale), (
                f"at t = {t[0]:.3f}, z has {found[0]:.3f} of the image and {found[1]:.3f} of noise; "
                f"expected {expected[0]:.3f} and {expected[1]:.3f}"
            )


def times_rise(sampler: Sampler) -> None:
    """Steps reach the times of the grid in order; evaluations never lie beyond the end of their step or at t = 1."""
    grid = torch.tensor([0, 0.1, 0.25, 0.6, 0.9, 1.0])
    steps: list[Step] = []
    evaluated: list[float] = []

    def on_step(step: Step) -> None:
        times = [t for _, t, _ in recording.inputs[len(evaluated) :]]
        assert times, "a step does not evaluate the denoiser"
        assert all(t.shape == SHAPE[:1] for t in times), f"t has the shape {tuple(times[0].shape)}"
        evaluated.extend(t.max().item() for t in times)
        assert max(evaluated) <= step.t + 1e-6, f"a step to t = {step.t:.3f} evaluates at {max(evaluated):.3f}"
        steps.append(step)

    path = PATHS[0]
    recording = RecordingDenoiser(GaussianWorld(path))
    fresh_noise = noise_source(SHAPE, path.noise_scale, seed=0)
    end = sampler.sample(recording, fresh_noise(), grid.double(), fresh_noise=fresh_noise, on_step=on_step)
    assert [step.index for step in steps] == list(range(len(grid) - 1)), "on_step is not called once per step, in order"
    assert {step.num_steps for step in steps} == {len(grid) - 1}, "on_step gets a wrong number of steps"
    reached = torch.tensor([step.t for step in steps])
    assert torch.allclose(reached, grid[1:]), f"the steps end at {reached.tolist()}, not {grid[1:].tolist()}"
    assert min(evaluated) >= 0, "the denoiser is evaluated below t = 0"
    assert max(evaluated) < 1, "the denoiser is evaluated at t = 1, where there is no noise left"
    assert torch.equal(steps[-1].z, end), "the last step is not the returned image"
    assert torch.equal(steps[-1].z, steps[-1].x_hat), "the last step does not end at the estimate"


def falling_grid_is_refused(sampler: Sampler) -> None:
    """A grid that does not rise strictly or does not end at 1 is refused."""
    for times in ((1.0, 0.5, 0.0), (0.0, 0.5, 0.5, 1.0), (0.0, 0.5)):
        fresh_noise = noise_source(SHAPE, 1.0, seed=0)
        try:
            sampler.sample(GaussianWorld(PATHS[0]), fresh_noise(), torch.tensor(times), fresh_noise=fresh_noise)
        except JitkitError:
            continue
        raise AssertionError(f"the grid {list(times)} is accepted")


def estimates_are_carried(sampler: Sampler) -> None:
    """The first evaluation has no previous estimate; each later one gets the estimate before it."""
    recording = RecordingDenoiser(GaussianWorld(PATHS[0]))
    _sample(sampler, recording, SHAPE, 5)
    first, *later = [x_prev for _, _, x_prev in recording.inputs]
    assert first is None, "the first evaluation has a previous estimate"
    for x_prev, estimate in zip(later, recording.outputs, strict=False):
        assert x_prev is not None, "a later evaluation has no previous estimate"
        assert torch.equal(x_prev, estimate), "an evaluation gets another estimate than the last"


def order_of_convergence(sampler: Sampler) -> None:
    """On Gaussians the error falls as num_steps^-order (by regression); stochastic samplers declare no order.

    Uses the worst of several widths, because the error may pass through zero for one of them.
    """
    order, nums = sampler.order, (32, 64, 128)
    if order is None:
        return
    for path in PATHS:
        z, errors = noise_source(SHAPE, path.noise_scale, seed=0)(), torch.zeros(len(nums), len(WIDTHS))
        for (i, num), (j, std) in product(enumerate(nums), enumerate(WIDTHS)):
            world = GaussianWorld(path, std)
            errors[i, j] = (_sample(sampler, world, SHAPE, num) - world.image_of(z)).abs().max() / std
        log_nums = torch.tensor(nums).log()
        slope = torch.cov(torch.stack([log_nums, errors.amax(1).log()]))[0, 1] / log_nums.var()
        assert -slope > order - 0.2, f"the error falls as num_steps^{slope:.2f}, not ^-{order}"


def distributions_are_kept(sampler: Sampler) -> None:
    """On Gaussians, samples have the right standard deviation in the limit of many steps. Two points are recovered.

    First-order samplers are too narrow by an amount proportional to 1 / num_steps, which is extrapolated away.
    """
    for path in PATHS:
        world = GaussianWorld(path)
        coarse, fine = (_sample(sampler, world, WIDE, num_steps).std().item() for num_steps in (128, 256))
        std = 2 * fine - coarse
        assert abs(std / world.std - 1) < 0.04, f"the standard deviation tends to {std:.4f}, not {world.std}"
        image = _sample(sampler, TwoPointWorld(path), WIDE, 64)
        worst = (image.abs() - 1).abs().max().item()
        assert worst < 0.01, f"a pixel is {worst:.3f} away from both points"
        share = (image > 0).double().mean().item()
        assert abs(share - 0.5) < 0.02, f"{share:.3f} of the pixels are 1"  # 5 standard errors: 0.016


def noise_decides(sampler: Sampler) -> None:
    """The same noise gives the same image, whatever its neighbors. torch's global generator is not used."""
    before, world, noise = torch.get_rng_state(), TwoPointWorld(PATHS[0]), noise_source(SHAPE, 1.0, seed=0)
    first, again = (_sample(sampler, world, SHAPE, 9) for _ in range(2))
    assert torch.equal(first, again), "the same noise gives different images"
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used"
    alone = _sample(sampler, world, SHAPE, 9, fresh_noise=lambda: noise()[:1])
    assert torch.allclose(first[:1], alone, atol=1e-9), "an image depends on its neighbors"


def _sample(
    sampler: Sampler,
    denoise: Denoise,
    shape: tuple[int, ...],
    num_steps: int,
    fresh_noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Return an image sampled over evenly spaced times in float64, from the noise of seed 0."""
    fresh_noise = fresh_noise or noise_source(shape, denoise.schedule.noise_scale, seed=0)
    grid = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    return sampler.sample(denoise, fresh_noise(), grid, fresh_noise=fresh_noise)
