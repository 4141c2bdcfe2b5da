"""The tables of errors in docs/samplers.md."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jitkit.diffusion.denoiser import Denoiser
from jitkit.testing.toys import GaussianWorld, toy_codec
from jitkit_plugins.objectives.flow import Flow as FlowLoss
from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.dpm import Dpm
from jitkit_plugins.samplers.euler import Euler
from jitkit_plugins.samplers.heun import Heun
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.flow import Flow
from tests.markov_chain import MarkovChain


@pytest.mark.parametrize(
    ("schedule", "sampler", "percent"),
    [
        (Flow(spacing="uniform"), Euler(), [17.0, 8.9, 4.5, 2.3]),
        (Flow(spacing="uniform"), Ddim(), [17.0, 8.9, 4.5, 2.3]),
        (Flow(spacing="uniform"), Heun(), [3.0, 0.7, 0.2, 0.0]),
        (Cosine(spacing="uniform"), Euler(), [4.9, 2.2, 1.0, 0.5]),
        (Cosine(spacing="uniform"), Ddim(), [17.7, 9.2, 4.7, 2.4]),
        (Cosine(spacing="uniform"), Heun(), [6.2, 1.6, 0.4, 0.1]),
        (Flow(), Euler(), [22.0, 12.9, 7.6, 4.5]),
        (Flow(), Heun(), [14.8, 8.0, 4.4, 2.6]),
        (Flow(mean=-0.8, std=0.8), Heun(), [50.8, 39.1, 29.3, 21.7]),
    ],
    ids=repr,
)
def test_error_for_gaussian_pixels(schedule, sampler, percent) -> None:
    world = GaussianWorld(schedule, std=0.5)
    noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    truth = world.image_of(noise)

    def error(steps: int) -> float:
        image = sampler.sample(world, noise, schedule.grid(steps).double(), fresh_noise=lambda: noise)
        return ((image - truth).abs().mean() / truth.abs().mean()).item()

    assert [round(100 * error(steps), 1) for steps in (8, 16, 32, 64)] == percent


PATH = Flow(std=0.8, noise_scale=2.0)


def later_grid(steps: int) -> Tensor:
    """Return the quantiles at 0, 1.5 / steps, 2.5 / steps, ..., 1 - 0.5 / steps, 1."""
    return torch.cat([torch.zeros(1), PATH.grid(2 * steps)[3::2], torch.ones(1)])


@pytest.mark.parametrize(
    ("grid", "sampler", "bits"),
    [
        (PATH.grid, Euler(), [0.132, 0.018]),
        (PATH.grid, Dpm(), [0.108, 0.014]),
        (later_grid, Euler(), [0.040, 0.007]),
        (later_grid, Dpm(), [0.028, 0.004]),
    ],
    ids=["euler", "dpm", "euler-later", "dpm-later"],
)
def test_divergence_from_a_markov_chain_after_four_and_eight_steps(grid, sampler, bits) -> None:
    codec = toy_codec()
    transition = (2.5 * torch.randn(8, 8, generator=torch.Generator().manual_seed(5))).softmax(1).double()
    initial = torch.linalg.matrix_power(transition, 500)[0]
    chain = MarkovChain(torch.arange(8), initial, transition, codec, PATH)
    denoise = Denoiser(chain, PATH, FlowLoss(), codec)
    z = PATH.noise_scale * torch.randn(4000, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def divergence(steps: int) -> float:
        tokens = codec.decode(sampler.sample(denoise, z, grid(steps), fresh_noise=lambda: z))
        counts = (8 * tokens[:, :-1] + tokens[:, 1:]).flatten().bincount(minlength=64)
        pairs = (initial[:, None] * transition).log().flatten()
        return (F.kl_div(pairs, counts / counts.sum(), reduction="sum") / torch.tensor(2.0).log()).item()

    assert [divergence(4), divergence(8)] == pytest.approx(bits, abs=6e-4)
