"""The conversions are each other's inverses wherever they are defined, and finite where they are not."""

import pytest
import torch

from jitkit.diffusion import process
from jitkit.testing.toys import Arc, Straight

PATHS = pytest.mark.parametrize("path", [Straight(), Arc()], ids=lambda path: path.name)
TIMES = torch.tensor([0.0, 0.01, 0.3, 0.7, 0.99, 1.0], dtype=torch.float64)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, len(TIMES), 3, 4, 4, generator=generator, dtype=torch.float64)


@PATHS
def test_conversions_agree(path, pair):
    x, noise = pair
    at = process.levels_at(path, TIMES)
    z, velocity = process.interpolate(x, noise, at), process.velocity_from_pair(x, noise, at)
    to_noise, to_data = TIMES < 1, TIMES > 0  # where z has something of the noise, of the image
    everywhere = torch.ones_like(to_data)
    for answer, truth, defined in (
        (process.x_from_velocity(velocity, z, at), x, everywhere),
        (process.noise_from_x(x, z, at), noise, to_noise),
        (process.velocity_from_x(x, z, at), velocity, to_noise),
        (process.x_from_noise(noise, z, at), x, to_data),
    ):
        assert torch.allclose(answer[defined], truth[defined])
        assert answer.isfinite().all()


@PATHS
def test_velocity_is_the_derivative_of_z(path, pair):
    x, noise = pair[:, 1:-1]
    t, step = TIMES[1:-1], 1e-6
    before, after = (process.interpolate(x, noise, process.levels_at(path, t + s)) for s in (-step, step))
    velocity = process.velocity_from_pair(x, noise, process.levels_at(path, t))
    assert torch.allclose((after - before) / (2 * step), velocity, atol=1e-6)


@PATHS
def test_wrong_conversions_stay_finite_in_single_precision(path, pair):
    x, z = pair.float()
    at = process.levels_at(path, TIMES.float())
    for convert in (
        process.noise_from_x,
        process.velocity_from_x,
        process.x_from_noise,
        process.x_from_velocity,
    ):
        assert convert(x, z, at).isfinite().all(), convert.__name__


@PATHS
def test_errors_are_proportional_to_sigma_wronskian_and_alpha(path, pair):
    """Equation (3): the same mistake, said in x, in velocity and in noise."""
    z, mistake = pair[:, 1:-1]
    at = process.levels_at(path, TIMES[1:-1])
    velocity = process.velocity_from_x(mistake, z, at) - process.velocity_from_x(torch.zeros_like(z), z, at)
    noise = process.noise_from_x(mistake, z, at) - process.noise_from_x(torch.zeros_like(z), z, at)
    assert torch.allclose(velocity / process.wronskian(at), mistake / at.sigma)
    assert torch.allclose(-noise / at.alpha, mistake / at.sigma)


@PATHS
def test_renoising_is_the_way_back(path):
    """From a later z to an earlier one: as much image and as much noise as if it had been noised directly."""
    generator = torch.Generator().manual_seed(0)
    x, noise, fresh = torch.randn(3, 2**18, generator=generator, dtype=torch.float64)
    for start, back in ((0.9, 0.5), (0.5, 0.1), (0.3, 0.0), (1.0, 0.4), (0.6, 0.6)):
        later, earlier = path.levels(torch.tensor(start)), path.levels(torch.tensor(back))
        z = process.renoise(process.interpolate(x, noise, later), fresh, later=later, earlier=earlier)
        rest = z - earlier.alpha * x
        assert rest.std().item() == pytest.approx(earlier.sigma.item(), abs=0.01)
        assert (rest * x).mean().item() == pytest.approx(0, abs=0.01)
