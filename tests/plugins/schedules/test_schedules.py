import pytest
import torch
from pydantic import ValidationError

from jitkit.testing import parametrize_conformance
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.flow import Flow

BOTH = pytest.mark.parametrize("member", [Flow, Cosine])


@parametrize_conformance(
    "schedule",
    Flow(),
    Cosine(),
    Flow(mean=-0.8, std=0.8, noise_scale=3.0),
    Flow(density="uniform"),
    Cosine(density="uniform"),
    Cosine(mean=5, std=0.05),
    Flow(mean=-5, std=5),
)
def test_conformance(conformance_test):
    conformance_test()


def test_flow_is_straight_and_cosine_is_a_circle():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    flow, cosine = Flow().levels(t), Cosine().levels(t)
    assert torch.allclose(flow.alpha + flow.sigma, torch.ones_like(t))
    assert torch.allclose(cosine.alpha**2 + cosine.sigma**2, torch.ones_like(t))


@BOTH
def test_logit_of_draws_is_normal(member):
    t = member(mean=-0.8, std=0.6).draw(20_000, torch.Generator().manual_seed(0))
    logit = torch.logit(t.double())
    assert logit.mean().item() == pytest.approx(-0.8, abs=1e-3)  # stratified: far better than 0.6 / sqrt(20,000)
    assert logit.std().item() == pytest.approx(0.6, abs=2e-3)


@BOTH
def test_draws_cover_the_density_and_come_in_random_order(member):
    schedule, num = member(), 64
    t = schedule.draw(num, torch.Generator().manual_seed(0))
    stratum = torch.searchsorted(schedule.grid(num), t, right=True) - 1
    assert stratum.sort().values.tolist() == list(range(num))
    assert stratum.tolist() != list(range(num))


@BOTH
def test_every_place_of_a_batch_follows_the_density(member):
    generator = torch.Generator().manual_seed(0)
    first = torch.stack([member().draw(4, generator)[0] for _ in range(2000)])
    assert (first < 0.5).double().mean().item() == pytest.approx(0.5, abs=0.06)  # 5 standard errors


@pytest.mark.parametrize("mean", [-5, 5])
@BOTH
def test_draws_never_round_to_the_ends(member, mean):
    t = member(mean=mean, std=5).draw(10_000, torch.Generator().manual_seed(0))
    assert ((t > 0) & (t < 1)).all()


@BOTH
def test_uniform_spacing_steps_evenly_whatever_the_density(member):
    grid = member(mean=-3, spacing="uniform").grid(10)
    assert torch.allclose(grid, torch.linspace(0, 1, 11))


@pytest.mark.parametrize("num_steps", [1, 100_000, 1_000_000])
def test_the_grid_rises_where_float32_could_not_tell_quantiles_apart(num_steps):
    grid = Flow(mean=5, std=0.05).grid(num_steps)
    assert (grid.diff() > 0).all()
    assert (grid[0].item(), grid[-1].item(), len(grid)) == (0, 1, num_steps + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"density": "uniform", "mean": -0.8}, "mean: found -0.8 with density uniform"),
        ({"density": "uniform", "std": 0.5}, "std: found 0.5 with density uniform"),
        ({"std": 0.0}, "std"),
        ({"noise_scale": 0.0}, "noise_scale"),
        ({"noise_scale": float("nan")}, "noise_scale"),
        ({"density": "normal"}, "density"),
    ],
)
@BOTH
def test_wrong_settings_are_refused(member, options, message):
    with pytest.raises(ValidationError, match=message):
        member(**options)
