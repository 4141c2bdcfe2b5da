"""Schedules that follow an entropy rate: what the rate must add up to, and where a density must lie."""

import math

import pytest
import torch
from pydantic import ValidationError

from jitkit.assembly import assemble
from jitkit.protocols import LearnedSchedule, NoiseScheduleComponent
from jitkit.testing import parametrize_conformance
from jitkit.testing.toys import toy_codec
from jitkit_plugins.codecs.base256 import Base256
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.schedules.adaptive import Adaptive
from jitkit_plugins.schedules.cosine import Cosine
from jitkit_plugins.schedules.entropy_rate import CENTERS, WIDTH, GumbelDensity, context_free_errors, entropy_rate
from jitkit_plugins.schedules.fitted import Fitted
from jitkit_plugins.schedules.flow import Flow
from jitkit_plugins.schedules.gumbel import Gumbel
from tests.tiny import resolved, validation_loss

ALL = pytest.mark.parametrize("member", [Fitted, Adaptive, Gumbel])
LEARNING = pytest.mark.parametrize("member", [Adaptive, Gumbel])
EVEN = torch.linspace(0.001, 0.999, 20_000)


@parametrize_conformance(
    "schedule",
    Fitted(path="cosine", noise_scale=3.0),
    Fitted(power=2.0, noise_scale=100.0),
    Adaptive(path="cosine", power=0.1, memory=1),
    Gumbel(path="cosine", noise_scale=0.3),
    Gumbel(learn=False),
)
def test_conformance(conformance_test):
    conformance_test()


@pytest.mark.parametrize("codec", [Bits(), Base256()])
def test_reading_from_no_noise_to_all_tells_exactly_which_token_it_is(codec):
    built = codec.build(64, 16, 4)
    information = entropy_rate(context_free_errors(built)).sum().item() * WIDTH * 3 * built.image_size**2
    assert information == pytest.approx(built.capacity * math.log(64), rel=0.05)  # of 512 tokens


def test_the_error_of_one_bit_is_the_known_one():
    # x = 1 or -1 in noise: the posterior mean is tanh, its error 1 - E tanh(snr^2 + snr n) (Guo et al. 2005, eq. 17)
    snr, noise = CENTERS.exp(), torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack([1 - torch.tanh(s * s + s * noise).mean() for s in snr])
    assert torch.allclose(context_free_errors(toy_codec(16)), expected, atol=0.03)


def test_a_codec_that_bears_less_noise_is_trained_with_less():
    hardy, frail = (Fitted().build(codec.build(258, 16, 4)).grid(2)[1].item() for codec in (Bits(), Base256()))
    assert hardy < 0.5 < 0.9 < frail


@ALL
def test_the_density_is_one_of_signal_to_noise_whatever_the_path(member):
    flow, cosine, loud = (
        member(**options).build(toy_codec()) for options in ({}, {"path": "cosine"}, {"noise_scale": 3.0})
    )
    t, turned, shifted = (schedule.grid(9)[1:-1].double() for schedule in (flow, cosine, loud))
    ratio = t / (1 - t)
    assert torch.allclose(torch.tan(turned * math.pi / 2), ratio, rtol=1e-4)
    assert torch.allclose(shifted / (1 - shifted) / 3, ratio, rtol=1e-4)


@pytest.mark.parametrize("path", [Flow(), Cosine()])
def test_time_at_inverts_the_path(path):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    at = path.levels(t)
    assert torch.allclose(path.time_at((at.alpha / at.sigma).log()), t, atol=1e-12)


@ALL
def test_a_lower_power_is_wider(member):
    narrow, wide = (member(power=power).build(toy_codec()).grid(10) for power in (1.0, 0.5))
    assert wide[9] - wide[1] > narrow[9] - narrow[1]


def test_gumbel_has_the_moments_and_the_tail_towards_noise():
    weights = entropy_rate(context_free_errors(toy_codec(16)))
    density = GumbelDensity.with_moments_of(weights)
    log_snr = density.quantile(torch.rand(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    share = weights / weights.sum()
    mean = (share @ CENTERS).item()
    assert log_snr.mean().item() == pytest.approx(mean, abs=0.01)
    assert log_snr.std().item() == pytest.approx((share @ (CENTERS - mean).square()).sqrt().item(), abs=0.02)
    low, middle, high = log_snr.quantile(torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)).tolist()
    assert middle - low > 1.5 * (high - middle)


@LEARNING
def test_a_network_that_has_not_learned_to_read_moves_nothing(member):
    schedule = member(memory=3).build(toy_codec())
    before = schedule.grid(16)
    schedule.observe(EVEN, torch.full_like(EVEN, 5.0))
    assert torch.equal(schedule.grid(16), before)


@LEARNING
def test_context_moves_the_density_towards_noise(member):
    schedule = member(memory=3).build(toy_codec())
    t = EVEN.double()
    mean = torch.sigmoid(torch.logit(t) + 1.0)  # half of the initial error, or less where colors carry more information
    context_free = schedule.start[torch.clamp(((torch.logit(t) + 6) / WIDTH).long(), 0, 63)]
    schedule.observe(EVEN, (context_free * (1 - mean)).float())
    assert (schedule.grid(16)[1:-1] < schedule.at_start().grid(16)[1:-1]).all()


def test_the_running_mean_is_exponential_and_forgets_nothing_unseen():
    schedule, memory = Adaptive(memory=10).build(toy_codec()), 10
    start = schedule.start.clone()
    t = torch.tensor([0.5, 0.5, 0.5])  # log-SNR 0: the bin that starts there
    schedule.observe(t, torch.tensor([0.1, 0.2, 0.3]))
    place = int((CENTERS - WIDTH / 2 == 0).nonzero())
    keep = (1 - 1 / memory) ** 3
    assert schedule.seen[place].item() == pytest.approx(keep * start[place].item() + (1 - keep) * 0.2)
    elsewhere = torch.arange(len(start)) != place
    assert torch.equal(schedule.seen[elsewhere], start[elsewhere])


@LEARNING
def test_validation_losses_compare_whatever_was_learned(member):
    pipeline = assemble(resolved(f"schedule={{use='{member.name}'}}"))
    schedule = pipeline.denoiser.schedule
    assert isinstance(schedule, LearnedSchedule)
    tokens = torch.arange(2 * pipeline.codec.capacity).view(2, -1) % 256
    before, drawn = validation_loss(pipeline.denoiser, tokens, seed=0, batch_size=2), schedule.grid(8)
    schedule.observe(EVEN, torch.zeros_like(EVEN))
    assert not torch.equal(schedule.grid(8), drawn)
    assert validation_loss(pipeline.denoiser, tokens, seed=0, batch_size=2) == before


def test_a_gumbel_that_does_not_learn_has_no_state():
    component = Gumbel(learn=False)
    assert isinstance(component, NoiseScheduleComponent)
    assert not isinstance(component.build(toy_codec()), LearnedSchedule)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"path": "line"}, "path"), ({"power": 0.0}, "power"), ({"noise_scale": 0.0}, "noise_scale")],
)
@ALL
def test_wrong_settings_are_refused(member, options, message):
    with pytest.raises(ValidationError, match=message):
        member(**options)
