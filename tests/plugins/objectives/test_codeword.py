from dataclasses import replace
from functools import partial

import pytest
import torch

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.protocols import Noised
from jitkit.testing import check, parametrize_conformance
from jitkit.testing.toys import Arc, Straight, TwoPointWorld, noise_source, toy_codec
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.palette import Palette
from jitkit_plugins.objectives.bitwise import Bitwise
from jitkit_plugins.objectives.codeword import Codeword, nucleus
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.samplers.euler import Euler

CODEC = toy_codec()  # 8 ids, the corners of the color cube, one pixel each: every string of signs is a token
PATHS = [Straight(), Arc(noise_scale=2.0)]
BOTH = [partial(Codeword, context="codeword"), Bitwise]


def noised(path, *times, codec=CODEC):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(codec.vocab_size, (len(times), codec.capacity), generator=generator)
    x, t = codec.encode(tokens), torch.tensor(times)
    noise = torch.randn(x.shape, generator=generator) * path.noise_scale
    return Noised(tokens, x, noise, t, interpolate(x, noise, levels_at(path, t)))


def some_output(batch, size=1.0):
    return size * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(1))


@parametrize_conformance(
    "objective",
    Codeword(context="codeword"),
    Codeword(context="codeword", context_noise=0.3, self_conditioning=0.5, known=0.25),
    Codeword(context="codeword", temperature=0.6, top_p=0.8),
    Codeword(context="codeword", flow_weight=0.5),
    Codeword(context="token", evidence=0.3),
    Codeword(context="token"),
    Codeword(context="token", flow_weight=0.5, temperature=0.6, top_p=0.8),
)
def test_conformance(conformance_test):
    conformance_test()


class Clamped(Flow):
    """What the field does: the estimate is clamped before the loss."""

    def estimate(self, raw, z, t, *, schedule, codec):
        return raw.clamp(-1, 1)

    def loss(self, raw, batch, *, schedule, codec):
        return super().loss(raw.clamp(-1, 1), batch, schedule=schedule, codec=codec)


class Indifferent(Codeword):
    """It forgives one number in three."""

    def loss(self, raw, batch, *, schedule, codec):
        kept = torch.tensor([1.0, 1.0, 0.0])[:, None, None]
        return super().loss(raw * kept + raw.detach() * (1 - kept), batch, schedule=schedule, codec=codec)


@pytest.mark.parametrize("objective", [Clamped(), Indifferent()], ids=["clamped", "indifferent"])
def test_wrong_outputs_without_gradient_break_a_law(objective):
    broken = [result.requirement for result in check(objective, "objective") if result.failure]
    assert any(text.startswith("Every number whose estimate is wrong gets a gradient") for text in broken)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("codec", [Bits().build(11, 8, 4), Palette().build(11, 8, 4)], ids=["bits", "palette"])
def test_the_loss_is_bayes_rule_over_all_codewords(path, codec):
    """Two readings of each codeword, written out pixel by pixel in float64."""
    batch = noised(path, 0.2, 0.5, 0.8, codec=codec)
    raw, at = some_output(batch), levels_at(path, batch.t.double())
    losses = Codeword(context="codeword", context_noise=0.7).loss(raw, batch, schedule=path, codec=codec)
    logits = torch.empty(*batch.tokens.shape, codec.vocab_size, dtype=torch.float64)
    own = codec.pixel_mask(torch.eye(codec.capacity, dtype=torch.bool)).double()  # [L, 1, H, W]
    for v in range(codec.vocab_size):
        x = codec.encode(torch.full_like(batch.tokens, v)).double()
        seen = (batch.z - at.alpha * x).square() / (at.sigma * path.noise_scale).square()
        said = (raw - x).square() / 0.7**2
        logits[..., v] = -torch.einsum("bchw,lchw->bl", seen + said, own.expand(-1, 3, -1, -1)) / 2
    padding = logits.log_softmax(2)  # numbers that carry nothing are the same in every codeword, and drop out
    expected = -padding.gather(2, batch.tokens[..., None])[..., 0].mean(1)
    assert torch.allclose(losses.double(), expected, rtol=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_where_every_string_of_signs_is_a_token_bits_need_no_codewords(path):
    batch = noised(path, 0.0, 0.3, 0.7, 1.0)
    raw, context = some_output(batch), {"schedule": path, "codec": CODEC}
    words, bits = Codeword(context="codeword"), Bitwise()
    assert torch.allclose(words.loss(raw, batch, **context), 3 * bits.loss(raw, batch, **context), rtol=1e-4)
    one, other = (objective.estimate(raw, batch.z, batch.t, **context) for objective in (words, bits))
    assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_zeros_say_nothing_beyond_the_picture(path):
    batch = noised(path, 0.0, 0.3, 0.7)
    for objective in (Codeword(context="codeword"), Bitwise()):
        x_hat = objective.estimate(torch.zeros_like(batch.z), batch.z, batch.t, schedule=path, codec=CODEC)
        assert torch.allclose(x_hat, TwoPointWorld(path)(batch.z, batch.t), atol=1e-5)


def test_the_gradient_is_the_error_of_the_estimate():
    path = Straight()
    batch = noised(path, 0.1, 0.4, 0.8)
    raw, objective = some_output(batch).requires_grad_(), Codeword(context="codeword", context_noise=0.5)
    (gradient,) = torch.autograd.grad(objective.loss(raw, batch, schedule=path, codec=CODEC).sum(), raw)
    x_hat = objective.estimate(raw, batch.z, batch.t, schedule=path, codec=CODEC)
    assert torch.allclose(gradient, (x_hat - batch.x).detach() / CODEC.capacity / 0.25, atol=1e-5)


def test_the_loss_is_a_mean_over_unknown_tokens():
    batch = noised(Straight(), 0.3)
    raw, context = some_output(batch), {"schedule": Straight(), "codec": CODEC}
    one = torch.eye(CODEC.capacity, dtype=torch.bool)
    alone = [
        Codeword(context="codeword").loss(raw, replace(batch, known=CODEC.pixel_mask(~row[None]).float()), **context)
        for row in one
    ]
    assert torch.allclose(
        torch.cat(alone).mean(), Codeword(context="codeword").loss(raw, batch, **context)[0], rtol=1e-5
    )


@pytest.mark.parametrize("member", BOTH, ids=["codeword", "bitwise"])
@pytest.mark.parametrize("path", PATHS)
def test_a_mixture_is_a_sum_of_its_parts(member, path):
    """Cross-entropy and the v-loss of the estimate, whatever the temperature of the latter when generating."""
    batch = noised(path, 0.1, 0.5, 0.9)
    batch = replace(batch, known=CODEC.pixel_mask(torch.arange(CODEC.capacity).expand(3, -1) < 5).float())
    raw, context = some_output(batch), {"schedule": path, "codec": CODEC}
    x_hat = member().estimate(raw, batch.z, batch.t, **context)
    parts = member().loss(raw, batch, **context), Flow(loss="v").loss(x_hat, batch, **context)
    mixed = member(flow_weight=0.25, temperature=0.5).loss(raw, batch, **context)
    assert torch.allclose(mixed, parts[0] + 0.25 * parts[1])


def test_arithmetic_is_in_float32_whatever_the_output():
    batch = noised(Straight(), 0.3, 0.9)
    raw = some_output(batch).bfloat16()
    context = {"schedule": Straight(), "codec": CODEC}
    for objective in (Codeword(context="codeword"), Bitwise()):
        with torch.autocast("cpu", torch.bfloat16):
            losses = objective.loss(raw, batch, **context)
            x_hat = objective.estimate(raw, batch.z, batch.t, **context)
        assert torch.equal(losses, objective.loss(raw.float(), batch, **context))
        assert torch.equal(x_hat, objective.estimate(raw.float(), batch.z, batch.t, **context))


def test_the_estimate_has_the_precision_of_the_walk():
    batch, context = noised(Straight(), 0.3), {"schedule": Straight(), "codec": CODEC}
    for objective in (Codeword(context="codeword"), Bitwise()):
        x_hat = objective.estimate(some_output(batch), batch.z.double(), batch.t.double(), **context)
        assert x_hat.dtype == torch.float64


def test_a_walk_that_ends_nowhere_is_still_finite():
    """At t = 1 there is no noise left to explain a grey z, yet that is no division by zero."""
    grey, t, context = torch.zeros(1, 3, 4, 4), torch.ones(1), {"schedule": Straight(), "codec": CODEC}
    for objective in (Codeword(context="codeword"), Bitwise()):
        assert objective.estimate(grey, grey, t, **context).isfinite().all()


def test_temperature_sharpens_the_estimate_and_not_the_loss():
    path = Straight()
    batch = noised(path, 0.1, 0.3)
    raw, context = some_output(batch, 0.5), {"schedule": path, "codec": CODEC}
    cold, mild, plain, hot = (
        Codeword(context="codeword", temperature=t).estimate(raw, batch.z, batch.t, **context)
        for t in (0.01, 0.5, 1.0, 2.0)
    )
    assert (mild.abs() > plain.abs()).all()
    assert (plain.abs() > hot.abs()).all()
    nearest = CODEC.encode(CODEC.decode(plain))
    assert (cold - nearest).abs().mean() < 0.02
    assert torch.equal(
        Codeword(context="codeword", temperature=0.01).loss(raw, batch, **context),
        Codeword(context="codeword").loss(raw, batch, **context),
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", [*BOTH, Codeword], ids=["codeword", "bitwise", "token"])
def test_weighted_evidence_is_that_of_a_noisier_image(kind, path):
    """The log-likelihood is inversely proportional to the variance of the noise. The loss keeps the true one."""
    batch = noised(path, 0.2, 0.5, 0.8)
    raw, weight = 3 * torch.randn(3, kind().channels(CODEC), 4, 4, generator=torch.Generator().manual_seed(1)), 0.25
    noisier = type(path)(noise_scale=path.noise_scale / weight**0.5)
    weighted = kind(evidence=weight).estimate(raw, batch.z, batch.t, schedule=path, codec=CODEC)
    assert torch.allclose(weighted, kind().estimate(raw, batch.z, batch.t, schedule=noisier, codec=CODEC), atol=1e-5)
    assert not torch.allclose(weighted, kind().estimate(raw, batch.z, batch.t, schedule=path, codec=CODEC), atol=0.1)
    losses = (kind(evidence=e).loss(raw, batch, schedule=path, codec=CODEC) for e in (weight, 1.0))
    assert torch.equal(*losses)


@pytest.mark.parametrize("kind", [Codeword, Bitwise])
def test_settings_of_sampling_do_not_reach_training(kind):
    learned = {"self_conditioning": 0.5, "flow_weight": 0.25}
    given = kind(**learned, temperature=0.5, temperature_at=0.4, evidence=0.3, top_p=0.9)
    assert given.as_trained() == kind(**learned)
    denoiser = Denoiser(torch.nn.Identity(), Straight(), given, CODEC)
    assert denoiser.as_trained() == replace(denoiser, objective=kind(**learned))


@pytest.mark.parametrize("kind", BOTH, ids=["codeword", "bitwise"])
def test_the_temperature_falls_from_noise_to_its_time(kind):
    """Estimates from noise keep temperature 1; from `temperature_at` on they have the full temperature."""
    path = Straight()
    batch = noised(path, 0.0, 0.2, 0.4, 0.7)
    raw, context = some_output(batch, 0.5), {"schedule": path, "codec": CODEC}
    ramped = kind(temperature=0.5, temperature_at=0.4).estimate(raw, batch.z, batch.t, **context)
    for row, temperature in enumerate((1.0, 0.75, 0.5, 0.5)):
        expected = kind(temperature=temperature).estimate(raw, batch.z, batch.t, **context)
        assert torch.allclose(ramped[row], expected[row], atol=1e-6)


def test_a_small_nucleus_is_the_likeliest_token():
    batch = noised(Straight(), 0.1, 0.5)
    raw, context = some_output(batch), {"schedule": Straight(), "codec": CODEC}
    x_hat = Codeword(context="codeword", top_p=1e-6).estimate(raw, batch.z, batch.t, **context)
    likeliest = CODEC.decode(Codeword(context="codeword", temperature=0.1).estimate(raw, batch.z, batch.t, **context))
    assert torch.equal(x_hat, CODEC.encode(likeliest))


def test_a_nucleus_holds_the_fewest_tokens_that_have_the_share():
    given = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]])
    kept = nucleus(given, 0.65)
    assert torch.allclose(kept, torch.tensor([[0, 4 / 7, 0, 3 / 7], [1, 0, 0, 0]]))
    assert torch.allclose(nucleus(given, 0.75), torch.tensor([[0, 4 / 9, 2 / 9, 3 / 9], [1, 0, 0, 0]]))


def test_a_walk_ends_on_valid_codewords():
    """11 of 16 bit strings are tokens. Without context, sampling draws each about equally often."""
    codec, path = Bits().build(11, 8, 4), Straight()
    denoise = Denoiser(lambda z, t, **_: torch.zeros_like(z), path, Codeword(context="codeword"), codec)
    noise = noise_source((64, 3, 8, 8), 1.0, seed=0)
    image = Euler().sample(denoise, noise().float(), path.grid(32), fresh_noise=noise)
    tokens = codec.decode(image)
    assert (image - codec.encode(tokens)).abs().mean() < 0.01
    shares = tokens.flatten().bincount(minlength=11) / tokens.numel()
    assert (shares * 11 - 1).abs().max() < 0.25


def test_a_logit_for_every_token_is_added_to_what_the_picture_shows():
    """The posterior of Bayes' rule, for a prior over tokens that no reading of codewords could say."""
    codec, path = CODEC, Straight(noise_scale=1.5)
    batch = noised(path, 0.2, 0.5, 0.8)
    prior = torch.randn(len(batch.x), codec.capacity, codec.vocab_size)
    objective = Codeword(context="token")
    values, write = torch.func.vjp(
        codec.token_values, torch.zeros(len(batch.x), objective.channels(codec), *batch.x.shape[2:])
    )
    raw = write(torch.nn.functional.pad(prior, (0, values.shape[2] - codec.vocab_size)))[0]
    codewords = codec.encode(torch.arange(8)[:, None].expand(-1, codec.capacity))
    at = levels_at(path, batch.t)
    misfit = (batch.z[:, None] - at.alpha[:, None] * codewords[None]) / (at.sigma[:, None] * 1.5)
    shown = torch.stack([codec.token_values(image).square().sum(2) for image in misfit.unbind(1)], dim=2) / -2
    expected = (prior + shown).softmax(2)
    x_hat = objective.estimate(raw, batch.z, batch.t, schedule=path, codec=codec)
    assert torch.allclose(x_hat, codec.mean_image(expected), atol=1e-5)
    loss = -expected.gather(2, batch.tokens[:, :, None]).log().mean((1, 2))
    assert torch.allclose(objective.loss(raw, batch, schedule=path, codec=codec), loss, rtol=1e-4)
