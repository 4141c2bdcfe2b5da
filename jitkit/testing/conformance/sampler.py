"""The laws of samplers. They are tried where the answer is known: see `jitkit.testing.toys`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jitkit.errors import JitkitError
from jitkit.protocols import Denoise, NoiseSchedule, Sampler, Step
from jitkit.testing.conformance import ConformanceTest
from jitkit.testing.toys import PATHS, GaussianWorld, Oracle, TwoPointWorld, noise_source

SHAPE = (2, 3, 8, 8)
WIDTHS = (0.25, 0.5, 1.0, 2.0)
WIDE = (2, 3, 64, 64)  # 24,576 numbers: a standard deviation measured on them is right to 0.5 %


@dataclass
class Witness:
    """A denoiser that notes what it was asked."""

    denoise: Denoise
    asked: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)

    @property
    def schedule(self) -> NoiseSchedule:
        """The path of the denoiser."""
        return self.denoise.schedule

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the denoiser's answer."""
        self.asked.append((z, t, x_prev))
        self.answers.append(self.denoise(z, t, x_prev))
        return self.answers[-1]


def oracle_is_recovered(sampler: Sampler) -> None:
    """A denoiser that knows the image is recovered exactly, for any number of steps."""
    for path in PATHS:
        x = noise_source(SHAPE, 1.0, seed=1)()
        for num_steps in (1, 2, 7, sampler.steps):
            end = _walk(sampler, Oracle(path, x), SHAPE, num_steps)
            assert torch.equal(end, x), f"{num_steps} steps miss the image by {(end - x).abs().max():.1e}"


def path_is_followed(sampler: Sampler) -> None:
    """Whenever the denoiser is asked about t, it is shown what that t says: alpha of the image, sigma of noise.

    A walk that runs backwards, or tells the network a wrong time, breaks this at once.
    """
    for path in PATHS:
        x = noise_source(WIDE, 1.0, seed=1)()
        witness = Witness(Oracle(path, x))
        _walk(sampler, witness, WIDE, 100)
        for z, t, _ in witness.asked:
            at = path.levels(t[0].double())
            signal = ((z * x).mean() / x.square().mean()).item()
            noise = ((z - signal * x).std() / path.noise_scale).item()
            found, expected = (signal, noise), (at.alpha.item(), at.sigma.item())
            assert math.dist(found, expected) < 0.04 * max(1, path.noise_scale), (
                f"at t = {t[0]:.3f} the denoiser is shown {found[0]:.3f} of the image and {found[1]:.3f} of noise, "
                f"not {expected[0]:.3f} and {expected[1]:.3f}"
            )


def times_rise(sampler: Sampler) -> None:
    """Steps reach the times of the grid in order, and the denoiser is never asked about a time beyond, or t = 1."""
    grid = torch.tensor([0, 0.1, 0.25, 0.6, 0.9, 1.0])
    steps: list[Step] = []
    asked: list[float] = []

    def on_step(step: Step) -> None:
        times = [t for _, t, _ in witness.asked[len(asked) :]]
        assert times, "a step asks the denoiser nothing"
        assert all(t.shape == SHAPE[:1] for t in times), f"the denoiser is given t of shape {tuple(times[0].shape)}"
        asked.extend(t.max().item() for t in times)
        assert max(asked) <= step.t + 1e-6, f"before t = {step.t:.3f} the denoiser is asked about {max(asked):.3f}"
        steps.append(step)

    path = PATHS[0]
    witness = Witness(GaussianWorld(path))
    fresh_noise = noise_source(SHAPE, path.noise_scale, seed=0)
    end = sampler.sample(witness, fresh_noise(), grid.double(), fresh_noise=fresh_noise, on_step=on_step)
    assert [step.index for step in steps] == list(range(len(grid) - 1)), "on_step is not called once a step, in order"
    assert {step.num_steps for step in steps} == {len(grid) - 1}, "on_step is told a wrong number of steps"
    reached = torch.tensor([step.t for step in steps])
    assert torch.allclose(reached, grid[1:]), f"the times reached are {reached.tolist()}, not {grid[1:].tolist()}"
    assert min(asked) >= 0, "the denoiser is asked about a time below 0"
    assert max(asked) < 1, "the denoiser is asked about t = 1, where nothing is left to ask"
    assert torch.equal(steps[-1].z, end), "the last step is not the image that is returned"
    assert torch.equal(steps[-1].z, steps[-1].x_hat), "the last step does not land on the estimate"


def falling_grid_is_refused(sampler: Sampler) -> None:
    """A grid that falls, stands still or does not end at 1 is refused."""
    for times in ((1.0, 0.5, 0.0), (0.0, 0.5, 0.5, 1.0), (0.0, 0.5)):
        fresh_noise = noise_source(SHAPE, 1.0, seed=0)
        try:
            sampler.sample(GaussianWorld(PATHS[0]), fresh_noise(), torch.tensor(times), fresh_noise=fresh_noise)
        except JitkitError:
            continue
        raise AssertionError(f"the grid {list(times)} is walked")


def estimates_are_carried(sampler: Sampler) -> None:
    """The first question comes without an earlier estimate; each later one brings the answer to the one before."""
    witness = Witness(GaussianWorld(PATHS[0]))
    _walk(sampler, witness, SHAPE, 5)
    given = [x_prev for _, _, x_prev in witness.asked]
    assert given[0] is None, "the first question brings an estimate"
    for x_prev, answer in zip(given[1:], witness.answers, strict=False):
        assert x_prev is not None, "a later question brings no estimate"
        assert torch.equal(x_prev, answer), "a question brings another estimate than the last"


def order_of_convergence(sampler: Sampler) -> None:
    """On Gaussians the error falls as num_steps^-order (fitted by regression); random walks declare no order.

    The worst of several widths: an error may pass through zero for one of them.
    """
    order, nums = sampler.order, (32, 64, 128, 256)
    if order is None:
        return
    for path in PATHS:
        worlds = [GaussianWorld(path, std) for std in WIDTHS]
        errors = torch.tensor([max(_relative_error(sampler, world, n) for world in worlds) for n in nums])
        log_nums = torch.tensor(nums).log()
        slope = torch.cov(torch.stack([log_nums, errors.log()]))[0, 1] / log_nums.var()
        assert -slope > order - 0.2, f"the error falls as num_steps^{slope:.2f}, not ^-{order}"


def _relative_error(sampler: Sampler, world: GaussianWorld, num_steps: int) -> float:
    z = noise_source(SHAPE, world.schedule.noise_scale, seed=0)()
    return (_walk(sampler, world, SHAPE, num_steps) - world.image_of(z)).abs().max().item() / world.std


def gaussian_keeps_its_width(sampler: Sampler) -> None:
    """On a Gaussian, in the limit of many steps, the images have the right standard deviation, fresh noise included.

    Walks of first order come out narrow by something proportional to 1 / num_steps, which is extrapolated away.
    """
    for path in PATHS:
        world = GaussianWorld(path)
        coarse, fine = (_walk(sampler, world, WIDE, num_steps).std().item() for num_steps in (128, 256))
        std = 2 * fine - coarse
        assert abs(std / world.std - 1) < 0.04, f"the standard deviation tends to {std:.4f}, not {world.std}"


def two_points_are_recovered(sampler: Sampler) -> None:
    """Where every pixel is -1 or 1, every pixel of the image is, and half of them are 1."""
    for path in PATHS:
        image = _walk(sampler, TwoPointWorld(path), WIDE, 64)
        worst = (image.abs() - 1).abs().max().item()
        assert worst < 0.01, f"a pixel is {worst:.3f} away from both points"
        share = (image > 0).double().mean().item()
        assert abs(share - 0.5) < 0.02, f"{share:.3f} of the pixels are 1"  # 5 standard errors are 0.016


def noise_decides(sampler: Sampler) -> None:
    """The same noise gives the same image, and torch's global generator is not used."""
    before = torch.get_rng_state()
    first, again = (_walk(sampler, GaussianWorld(PATHS[0]), SHAPE, 9) for _ in range(2))
    assert torch.equal(first, again), "the same noise gives different images"
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used"


def images_are_independent(sampler: Sampler) -> None:
    """An image does not depend on its neighbours in the batch."""
    world = TwoPointWorld(PATHS[0])
    whole = noise_source(SHAPE, 1.0, seed=0)
    rows = noise_source(SHAPE, 1.0, seed=0)
    together = _walk(sampler, world, SHAPE, 9, fresh_noise=whole)[:1]
    alone = _walk(sampler, world, SHAPE, 9, fresh_noise=lambda: rows()[:1])
    assert torch.allclose(together, alone, atol=1e-9), "an image changes with its neighbours"


def _walk(
    sampler: Sampler,
    denoise: Denoise,
    shape: tuple[int, ...],
    num_steps: int,
    fresh_noise: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Return the end of a walk over evenly spaced times in float64, from the noise of seed 0."""
    fresh_noise = fresh_noise or noise_source(shape, denoise.schedule.noise_scale, seed=0)
    grid = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    return sampler.sample(denoise, fresh_noise(), grid, fresh_noise=fresh_noise)


CONFORMANCE_TESTS: tuple[ConformanceTest, ...] = (
    oracle_is_recovered,
    path_is_followed,
    times_rise,
    falling_grid_is_refused,
    estimates_are_carried,
    order_of_convergence,
    gaussian_keeps_its_width,
    two_points_are_recovered,
    noise_decides,
    images_are_independent,
)
