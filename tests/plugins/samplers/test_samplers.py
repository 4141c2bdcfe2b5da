from itertools import pairwise, product
from typing import ClassVar

import pytest
import torch
from torch.nn import functional as F

from jitkit.component import Component
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import interpolate
from jitkit.protocols import Step
from jitkit.testing import check, parametrize_conformance
from jitkit.testing.conformance.sampler import RecordingDenoiser
from jitkit.testing.toys import GaussianWorld, Oracle, noise_source, toy_codec
from jitkit_plugins.objectives.flow import Flow as FlowLoss
from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.dpm import Dpm
from jitkit_plugins.samplers.euler import Euler
from jitkit_plugins.samplers.heun import Heun
from jitkit_plugins.samplers.sde import Sde
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.flow import Flow
from tests.markov_chain import MarkovChain

DEFAULTS = (Euler(), Heun(), Sde(), Ddim(), Dpm())  # tests/conformance has their conformance tests
OTHERS = (
    Sde(gamma=4.0, t_min=0.2, t_max=0.7),
    Ddim(eta=1.0),
    Dpm(eta=1.0),
    Sde(gamma=4.0, passes=3),
)
SIMILAR = (Sde(gamma=4.0), Sde(gamma=0.0), Ddim(eta=0.5), Dpm(passes=2))  # to one of the others, each
SAMPLERS = (*DEFAULTS, *OTHERS, *SIMILAR)
SCHEDULES = (Flow(), Cosine(), Flow(mean=-0.8, std=0.8, noise_scale=3.0), Cosine(spacing="uniform"))
SHAPE = (2, 3, 8, 8)


def walk(sampler, denoise, num_steps=8, dtype=torch.float32):
    noise = noise_source(SHAPE, denoise.schedule.noise_scale, seed=0)
    grid = denoise.schedule.grid(num_steps)
    return sampler.sample(denoise, noise().to(dtype), grid, fresh_noise=lambda: noise().to(dtype))


@parametrize_conformance("sampler", *OTHERS)
def test_conformance(conformance_test):
    conformance_test()


@pytest.mark.slow
@parametrize_conformance("sampler", *SIMILAR)
def test_conformance_of_similar_samplers(conformance_test):
    conformance_test()


@pytest.mark.parametrize(("sampler", "schedule"), list(product(SAMPLERS, SCHEDULES)))
@pytest.mark.parametrize("num_steps", [1, 2, 64])
def test_an_oracle_is_recovered_on_every_schedule(sampler, schedule, num_steps):
    x = torch.rand(SHAPE) * 2 - 1
    assert torch.equal(walk(sampler, Oracle(schedule, x), num_steps), x)


class Backwards(Component):
    """A sampler with reversed time, as in the original code: more noise with every step."""

    name: ClassVar[str] = "backwards"
    distillable: ClassVar[bool] = False
    steps: int = 20
    order: ClassVar[None] = None

    def sample(self, denoise, z, grid, *, fresh_noise, on_step=None):
        x_hat = None
        for index, (t, t_next) in enumerate(pairwise(grid)):
            wrong, mixed = 1 - t, 1 - t_next  # the network gets the time of clean images for pure noise
            x_hat = denoise(z, wrong.expand(len(z)), x_hat)
            z = interpolate(x_hat, fresh_noise(), denoise.schedule.levels(mixed)) if t_next < 1 else x_hat
            if on_step is not None:
                on_step(Step(index, len(grid) - 1, float(t_next), z, x_hat))
        return z


def test_a_sampler_with_reversed_time_fails():
    """It recovers an oracle, which knows the image for any input. The inputs reveal the error."""
    broken = {
        result.requirement.partition(".")[0]: result.failure
        for result in check(Backwards(), "sampler")
        if result.failure
    }
    followed = "At every evaluation, z has the levels of its t: alpha of the image, sigma of noise"
    assert broken[followed].endswith("of noise; expected 1.000 and 0.000")  # pure noise, with the time of data
    assert any(text.startswith("Steps reach the times of the grid in order") for text in broken)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_single_precision_is_enough(sampler):
    world = GaussianWorld(Flow())
    double, single = (walk(sampler, world, 64, dtype) for dtype in (torch.float64, torch.float32))
    assert torch.allclose(single.double(), double, atol=1e-5)
    assert single.dtype == torch.float32


class SelfConditioned:
    """A denoiser that depends on the previous estimate; each call makes `passes` of them."""

    schedule = Flow()

    def __init__(self, passes=1):
        self.passes = passes

    def __call__(self, z, t, x_prev=None):
        for _ in range(self.passes):
            x_prev = 0.5 * z if x_prev is None else 0.3 * z - 0.6 * x_prev
        return x_prev


@pytest.mark.parametrize("sampler", DEFAULTS, ids=lambda sampler: sampler.name)
def test_passes_repeat_each_evaluation_at_the_same_z(sampler):
    """As if one evaluation of the model made several passes."""
    repeated = type(sampler)(passes=3)
    assert torch.equal(walk(repeated, SelfConditioned()), walk(sampler, SelfConditioned(passes=3)))
    assert not torch.equal(walk(repeated, SelfConditioned()), walk(sampler, SelfConditioned()))


def test_sde_without_renoising_is_euler():
    world = GaussianWorld(Flow())
    assert torch.equal(walk(Sde(gamma=0.0), world), walk(Euler(), world))


def test_ddim_is_euler_on_the_straight_path_only():
    straight, curved = GaussianWorld(Flow()), GaussianWorld(Cosine())
    assert torch.allclose(walk(Ddim(), straight), walk(Euler(), straight), atol=1e-6)
    assert not torch.allclose(walk(Ddim(), curved), walk(Euler(), curved), atol=1e-3)


@pytest.mark.parametrize(
    ("sampler", "evaluations"),
    [
        (Euler(), 10),
        (Ddim(eta=1.0), 10),
        (Sde(), 10),
        (Dpm(), 10),
        (Heun(), 19),
        (Sde(passes=3), 30),
        (Heun(passes=2), 38),
    ],
    ids=str,
)
def test_evaluations_of_a_walk_of_ten_steps(sampler, evaluations):
    recording = RecordingDenoiser(GaussianWorld(Flow()))
    walk(sampler, recording, 10)
    assert len(recording.inputs) == evaluations


@pytest.mark.parametrize(("sampler", "draws"), [(Euler(), 0), (Heun(), 0), (Ddim(), 0), (Sde(), 8), (Ddim(eta=1.0), 9)])
def test_fresh_noise_of_a_walk_of_ten_steps(sampler, draws):
    """sde has nothing to re-noise at t = 0 and re-noises no last step; ddim renews noise in all but the last."""
    asked = []
    world = GaussianWorld(Flow())
    noise = noise_source(SHAPE, 1.0, seed=0)
    sampler.sample(world, noise(), world.schedule.grid(10), fresh_noise=lambda: asked.append(1) or noise())
    assert len(asked) == draws


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1e2])
def test_sde_goes_back_in_proportion_to_the_step(gamma):
    recording = RecordingDenoiser(GaussianWorld(Flow(spacing="uniform", density="uniform")))
    walk(Sde(gamma=gamma), recording, 4)
    asked = [t[0].item() for _, t, _ in recording.inputs]
    back = max(0, 1 - gamma / 4)
    assert asked == pytest.approx([0, 0.25 * back, 0.5 * back, 0.75])


def test_sde_goes_back_inside_its_band_only():
    recording = RecordingDenoiser(GaussianWorld(Flow(spacing="uniform", density="uniform")))
    walk(Sde(t_min=0.25, t_max=0.5), recording, 8)
    grid = torch.linspace(0, 1, 9)[:-1]
    asked = torch.tensor([t[0].item() for _, t, _ in recording.inputs])
    assert grid[asked < grid].tolist() == [0.25, 0.375, 0.5]
    with pytest.raises(ValueError, match=r"t_max: found 0\.3 with t_min 0\.4; expected a later time"):
        Sde(t_min=0.4, t_max=0.3)


def test_looking_ahead_is_worth_twice_the_steps():
    """On a Markov chain whose posterior is known: how far the pairs of tokens in 2,000 texts are from the chain's, in bits."""
    codec, path = toy_codec(), Flow(spacing="uniform", noise_scale=2.0)
    generator = torch.Generator().manual_seed(5)
    transition = (2.5 * torch.randn(8, 8, generator=generator, dtype=torch.float64)).softmax(1)
    initial = torch.linalg.matrix_power(transition, 200)[0]
    chain = MarkovChain(torch.arange(8), initial, transition, codec, path)
    denoise = Denoiser(chain, path, FlowLoss(), codec)

    def divergence(sampler, num_steps):
        noise = torch.Generator().manual_seed(0)
        z = torch.randn(2000, 3, 4, 4, generator=noise) * path.noise_scale
        tokens = codec.decode(sampler.sample(denoise, z, path.grid(num_steps), fresh_noise=lambda: z))
        counts = (8 * tokens[:, :-1] + tokens[:, 1:]).flatten().bincount(minlength=64)
        return F.kl_div((initial[:, None] * transition).log().flatten(), counts / counts.sum(), reduction="sum").item()

    first, second, twice = divergence(Ddim(), 4), divergence(Dpm(), 4), divergence(Ddim(), 8)
    assert twice < second < 0.75 * first


def test_an_estimate_that_jumps_is_not_followed_far():
    """A short first step, and an estimate that changes all the same: the next step goes on by half the change, no more."""
    x = [torch.zeros(SHAPE), torch.ones(SHAPE), torch.ones(SHAPE)]
    answers = iter(x)

    class Jumping:
        schedule = Flow()

        def __call__(self, z, t, x_prev=None):
            return next(answers)

    seen = []
    grid, z = torch.tensor([0.4, 0.4001, 0.8, 1.0]), torch.zeros(SHAPE)
    Dpm().sample(Jumping(), z, grid, fresh_noise=lambda: z, on_step=lambda step: seen.append(step.z))
    assert torch.allclose(seen[1], seen[0] / 0.5999 * 0.2 + 1.5 * (0.8 - 0.4001 / 0.5999 * 0.2))


def test_a_walk_may_start_on_the_way():
    """From z at t = 0.5, as the recovery metrics do with noised text."""
    world = GaussianWorld(Flow())
    z = 0.5 * noise_source(SHAPE, 1.0, seed=3)()
    late = torch.linspace(0.5, 1, 200, dtype=torch.float64)
    end = Heun().sample(world, z, late, fresh_noise=lambda: z)
    width = (0.25 * world.std**2 + 0.25) ** 0.5
    assert torch.allclose(end, z * world.std / width, atol=1e-4)
