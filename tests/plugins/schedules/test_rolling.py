"""The beginning of a text is ahead of its end; everything else is as on the straight path."""

import math

import pytest
import torch

from jitkit.diffusion.context_free import context_free_estimate, context_free_logits
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.testing import parametrize_conformance
from jitkit.testing.oracle import oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.likelihood import Likelihood, snr_in_the_middle
from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.dpm import Dpm
from jitkit_plugins.samplers.euler import Euler
from jitkit_plugins.samplers.heun import Heun
from jitkit_plugins.samplers.sde import Sde
from jitkit_plugins.schedules.flow import Flow
from jitkit_plugins.schedules.rolling import Rolling


@parametrize_conformance(
    "schedule", Rolling(), Rolling(lead=0.5, std=0.4), Rolling(lead=12, mean=-0.5, noise_scale=2.0)
)
def test_conformance(conformance_test):
    conformance_test()


def rolling(**settings):
    return Rolling(**settings).build(tiny_pipeline().codec)


def of_lead(lead):
    return f'schedule={{use="rolling", lead={lead}, std=0.5}}'


def of_tokens(level):
    return tiny_pipeline().codec.token_values(level)


def test_all_pixels_of_a_token_have_its_time_and_the_first_token_leads():
    schedule = rolling(lead=6.0)
    alpha = of_tokens(levels_at(schedule, torch.tensor([0.3, 0.8])).alpha)
    assert torch.equal(alpha, alpha[:, :, :1].expand_as(alpha))
    logits = torch.logit(alpha[:, :, 0].double())
    assert (logits[:, 0] - logits[:, -1]).tolist() == pytest.approx([6.0, 6.0], abs=1e-4)
    assert logits.mean(1).tolist() == pytest.approx([math.log(0.3 / 0.7), math.log(4)], abs=1e-4)
    assert (logits.diff(dim=1) < 0).all()


def test_every_pixel_rises_from_exactly_noise_to_exactly_data():
    schedule = rolling(lead=8.0)
    times = schedule.pixel_times(torch.linspace(0, 1, 101, dtype=torch.float64)[:, None, None, None])
    assert torch.equal(times[0], torch.zeros_like(times[0]))
    assert torch.equal(times[-1], torch.ones_like(times[-1]))
    assert (times.diff(dim=0) > 0).all()


def test_training_times_are_normal_at_some_place_of_the_text_and_fall_along_it():
    settings = Rolling(mean=-0.5, std=0.4, max_lead=16.0)
    schedule = settings.build(tiny_pipeline().codec)
    t = schedule.draw_pixel_times(20_000, torch.Generator().manual_seed(0))
    assert t.shape[1:] == (1, 8, 8)
    logit = torch.logit(of_tokens(t)[:, :, 0].double())
    lead = logit[:, 0] - logit[:, -1]
    even = lead < 1e-3
    assert even.double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert logit[even, 0].mean().item() == pytest.approx(-0.5, abs=0.02)
    assert logit[even, 0].std().item() == pytest.approx(0.4, abs=0.02)
    rolled = lead[~even & (lead < 15.5)]
    assert rolled.mean().item() == pytest.approx(7.75, abs=0.15)
    assert ((logit[~even].diff(dim=1) <= 1e-6) | (logit[~even, 1:].abs() > 14)).all()


def test_the_grid_has_the_times_at_which_shares_of_a_text_are_decided():
    """The middle of the text is at the sum of a normal logit and one that is uniform over the lead."""
    schedule, num = rolling(lead=8.0, mean=-0.5, std=0.4), 40_000
    generator = torch.Generator().manual_seed(0)
    logit = -0.5 + 0.4 * torch.randn(num, generator=generator) + 8 * (torch.rand(num, generator=generator) - 0.5)
    expected = torch.sigmoid(logit.quantile(torch.linspace(0, 1, 9)[1:-1]))
    assert torch.allclose(schedule.grid(8)[1:-1], expected, atol=0.02)


def test_without_a_lead_it_is_the_flow_schedule():
    almost, flow = rolling(lead=1e-4, mean=-0.3, std=0.6), Flow(mean=-0.3, std=0.6)
    assert torch.allclose(almost.grid(16), flow.grid(16), atol=1e-4)
    t = torch.tensor([0.2, 0.9])
    for one, other in zip(levels_at(almost, t), levels_at(flow, t), strict=True):
        assert torch.allclose(one, other.expand_as(one), atol=1e-3)


def test_the_context_free_posterior_knows_the_noise_of_each_token():
    """One token on its own, with its own time, has the same posterior as in an image where all tokens have that time."""
    codec, schedule, windows = tiny_pipeline().codec, rolling(lead=5.0), tiny_windows(2)
    t = torch.tensor([0.4, 0.6])
    at, x = levels_at(schedule, t), codec.encode(windows)
    z = interpolate(x, torch.randn(x.shape, generator=torch.Generator().manual_seed(0)), at)
    together = context_free_logits(z, t, schedule=schedule, codec=codec).softmax(2)
    mean = of_tokens(context_free_estimate(z, t, schedule=schedule, codec=codec))
    for place in (0, 3, codec.capacity - 1):
        own = of_tokens(at.alpha)[:, place, 0]
        alone = context_free_logits(z, own, schedule=Flow(), codec=codec).softmax(2)
        assert torch.allclose(together[:, place], alone[:, place], atol=1e-5)
        expected = of_tokens(context_free_estimate(z, own, schedule=Flow(), codec=codec))
        assert torch.allclose(mean[:, place], expected[:, place], atol=1e-5)


@pytest.mark.parametrize("sampler", [Euler(), Heun(), Ddim(), Ddim(eta=1.0), Dpm(), Sde(), Sde(gamma=20.0)])
@pytest.mark.parametrize("lead", [6.0, 64.0])
def test_every_sampler_finds_a_memorized_text(sampler, lead):
    windows = tiny_windows(1)
    pipeline = oracle_context(windows, overrides=(of_lead(lead),)).pipeline
    (text,) = pipeline.generate([3], steps=12, sampler=sampler)
    assert torch.equal(text.tokens, windows[0])


def test_at_equal_numbers_of_samples_every_memorized_text_is_as_likely():
    """The exact posterior makes the end of the trajectory a fair draw from the memorized texts, whatever leads."""
    windows = tiny_windows(2)
    pipeline = oracle_context(windows, overrides=(of_lead(6.0),)).pipeline
    texts = pipeline.generate(range(400), steps=24, sampler=Ddim())
    share = sum(torch.equal(text.tokens, windows[0]) for text in texts) / len(texts)
    assert share == pytest.approx(0.5, abs=0.1)  # 4 standard errors


@pytest.mark.parametrize("lead", [pytest.param(0.5, marks=pytest.mark.slow), 6.0])
def test_the_bound_of_an_exact_posterior_is_the_logarithm_of_the_number_of_texts(lead):
    """It is the mutual information of text and image, which no order of tokens changes."""
    windows = tiny_windows(16)
    context = oracle_context(windows, overrides=(of_lead(lead),), batch_size=16)
    bound = Likelihood(num_times=1000).measure(context)[0]
    assert bound["bits_per_token"] * windows.shape[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("pixels", "logit"), [(torch.all, 3.0), (torch.any, -3.0)])
def test_the_slowest_and_the_fastest_token_are_half_the_lead_from_the_middle(pixels, logit):
    middle = snr_in_the_middle(rolling(lead=6.0), 50.0, pixels)
    assert middle == pytest.approx(50 * math.exp(2 * logit), rel=1e-5)
    assert snr_in_the_middle(Flow(), 50.0, pixels) == 50.0
