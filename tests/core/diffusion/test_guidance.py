from dataclasses import replace

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.guidance import cfg_target, check_guidance, draw_scales, guide
from jitkit.diffusion.noising import draw_noised
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.errors import ManifestError
from jitkit.manifest.schema import Guidance
from jitkit.testing.toys import Arc, Straight, noise_source, toy_codec
from jitkit_plugins.objectives.bitwise import Bitwise
from jitkit_plugins.objectives.codeword import Codeword
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.samplers.euler import Euler
from tests.tiny import resolved

CODEC, PATH = toy_codec(), Arc(noise_scale=2.0)
TOKENS = torch.randint(8, (6, CODEC.capacity), generator=torch.Generator().manual_seed(0))
X = CODEC.encode(TOKENS)
KNOWN = CODEC.pixel_mask(torch.arange(CODEC.capacity).expand(6, -1) % 3 == 0)
CONTEXT = {"schedule": PATH, "codec": CODEC}
SCALES = torch.tensor([0.5, 1.0, 1.5, 2.0, 3.0, 5.0])


def noised(objective, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return draw_noised(TOKENS, **CONTEXT, objective=objective, generator=generator, device="cpu")


def two_outputs():
    return torch.randn(2, *X.shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------------------------- the equations


def test_cfg_target_inverts_guide():
    without, given = two_outputs()
    assert torch.allclose(cfg_target(guide(without, given, SCALES), without, SCALES), given, atol=1e-5)
    for scale in (torch.zeros(6), torch.ones(6)):
        assert torch.equal(cfg_target(given, without, scale), given)
    assert torch.equal(guide(without, given, torch.ones(6)), given)
    assert torch.equal(guide(without, given, torch.zeros(6)), without)


@pytest.mark.parametrize(
    "objective", [Flow(), Flow(prediction="eps", loss="x"), Codeword(context="codeword"), Bitwise()], ids=str
)
def test_the_learned_output_is_the_guided_one(objective):
    """The loss of a guided output is stationary exactly where that of the plain output is, for any scale."""
    batch = noised(objective)
    without, given = two_outputs()
    given.requires_grad_()
    losses = objective.loss(given, batch, **CONTEXT)
    (gradient,) = torch.autograd.grad(losses.sum(), given)
    guided = guide(without, given.detach(), SCALES).requires_grad_()
    learned = objective.loss(cfg_target(guided, without, SCALES), batch, **CONTEXT)
    (same,) = torch.autograd.grad(learned.sum(), guided)
    assert torch.allclose(learned, losses, rtol=1e-3)
    assert torch.allclose(same, gradient, rtol=1e-3, atol=1e-4)


def test_the_gradient_matches_the_target_of_elf():
    """ELF, 2605.10938: the target is moved by (1 - 1/w) (guided - without), without gradient."""
    batch = noised(Flow())
    without, guided = two_outputs()
    guided.requires_grad_()
    target = batch.x + ((1 - 1 / SCALES)[:, None, None, None] * (guided - without)).detach()
    (expected,) = torch.autograd.grad((guided - target).square().mean((1, 2, 3)).sum(), guided)
    loss = Flow(loss="x").loss(cfg_target(guided, without, SCALES), batch, schedule=Straight(), codec=CODEC)
    (found,) = torch.autograd.grad(loss.sum(), guided)
    assert torch.allclose(found, expected, atol=1e-6)


def test_guided_cross_entropies_are_powers_of_their_posteriors():
    batch = noised(Codeword(context="codeword"))
    without, given = two_outputs()
    guided = guide(without, given, SCALES)

    def chances(raw):
        return Codeword(context="codeword")._logits(raw, batch.z, batch.t, PATH, CODEC).softmax(2).double()

    scale = SCALES[:, None, None]
    expected = chances(without) ** (1 - scale) * chances(given) ** scale
    assert torch.allclose(chances(guided), expected / expected.sum(2, keepdim=True), atol=1e-4)


# --------------------------------------------------------------------------------------- scales of a batch


def test_one_plus_scale_is_log_uniform():
    scales = draw_scales(20_000, Guidance(learned=5.0), torch.Generator().manual_seed(0))
    share = (1 + scales).div(1.5).log() / torch.tensor(6 / 1.5).log()
    assert torch.allclose(share.sort().values, torch.linspace(0, 1, 20_000), atol=0.02)


def test_a_model_without_guidance_draws_no_scale():
    generator, other = (torch.Generator().manual_seed(0) for _ in range(2))
    objective = Flow(self_conditioning=0.5)
    plain = draw_self_conditioning(64, objective=objective, generator=generator)
    scaled = draw_self_conditioning(64, objective=objective, generator=other, guidance=Guidance(learned=4.0))
    assert set(plain.tolist()) == {0.0, 1.0}
    assert torch.equal(plain > 0, scaled > 0)
    assert scaled[scaled > 0].min() >= 0.5
    assert not torch.equal(generator.get_state(), other.get_state())


class Scaled(torch.nn.Module):
    """A network of pixels with a scale input; `calls` records the inputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix = torch.nn.Conv2d(3 + 3 + 1 + 1 + 1, 3, 3, padding=1)
        self.calls = []

    def forward(self, z, t, *, x_prev=None, known=None, scale=None):
        self.calls.append({"z": z, "t": t, "x_prev": x_prev, "known": known, "scale": scale})
        x_prev = torch.zeros_like(z) if x_prev is None else x_prev
        known = torch.zeros_like(z[:, :1]) if known is None else known
        scale = torch.zeros_like(t) if scale is None else scale
        planes = [value[:, None, None, None].expand_as(known) for value in (t, scale)]
        return self.mix(torch.cat([z, x_prev, known, *planes], 1))


def test_the_loss_of_learned_guidance_is_that_of_the_unguided_output():
    network, objective = Scaled(), Codeword(context="codeword", self_conditioning=0.5, known=0.5)
    denoiser = Denoiser(network, PATH, objective, CODEC, Guidance(learned=5.0))
    batch = noised(objective)
    condition = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.5, 4.0])
    losses = diffusion_loss(denoiser, batch, condition=condition)
    first, second = network.calls
    assert first["scale"] is None
    assert second["scale"].equal(condition)
    shown = condition > 0
    without = network(batch.z, batch.t, known=batch.known)
    x_hat = denoiser.with_known_pixels(batch.x, batch.known).estimate(without, batch.z, batch.t)
    x_prev = torch.where(shown[:, None, None, None], x_hat, 0).detach()
    guided = network(batch.z, batch.t, x_prev=x_prev, known=batch.known, scale=condition)
    itself = torch.where(
        shown[:, None, None, None],
        without + (guided - without) / condition.clamp(min=0.5)[:, None, None, None],
        guided,
    )
    assert torch.allclose(losses, objective.loss(itself, batch, **CONTEXT), rtol=1e-4)


def test_a_trajectory_passes_its_scale_from_the_second_step_on():
    network = Scaled()
    guidance = Guidance(learned=5.0, self_conditioning=3.0)
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=0.5), CODEC, guidance)
    fresh_noise = noise_source(X.shape, 1.0, seed=0)
    Euler().sample(denoiser, fresh_noise().float(), Straight().grid(4), fresh_noise=fresh_noise)
    assert [None if call["scale"] is None else call["scale"].tolist() for call in network.calls] == [
        None,
        *[[3.0] * 6] * 3,
    ]


# ------------------------------------------------------------------------------------------ known pixels


def guided_by_known(network, **settings):
    objective = Codeword(context="codeword", known=0.5, self_conditioning=0.5)
    return Denoiser(network, PATH, objective, CODEC, Guidance(**settings)).with_known_pixels(X, KNOWN)


@torch.no_grad()
def test_known_pixels_guide_in_one_pass(network):
    denoiser = guided_by_known(network, known=2.5)
    z, x_prev, t = *two_outputs(), torch.full((6,), 0.4)
    x_hat = denoiser(z, t, x_prev)
    assert len(network.calls) == 1
    plain = replace(denoiser, guidance=Guidance())
    clean = torch.where(KNOWN, X, z)
    without = network(z, t)  # noisy at known pixels, without further inputs
    given = network(clean, t, x_prev=x_prev, known=KNOWN.float())
    expected = plain.estimate(without + 2.5 * (given - without), clean, t)
    assert torch.allclose(x_hat, expected, atol=1e-5)
    assert not torch.allclose(x_hat, plain(z, t, x_prev), atol=0.01)


@torch.no_grad()
def test_known_pixels_guide_inside_the_interval_only(network):
    denoiser = guided_by_known(network, known=3.0, known_from=0.25, known_to=0.5)
    plain = replace(denoiser, guidance=Guidance())
    z, x_prev = two_outputs()
    t = torch.tensor([0.0, 0.2, 0.25, 0.4, 0.5, 0.6])
    inside = torch.tensor([False, False, True, True, True, False])
    guided, unguided = denoiser(z, t, x_prev), plain(z, t, x_prev)
    changed = (guided - unguided).abs().amax((1, 2, 3))
    assert (changed[inside] > 1e-3).all()
    assert (changed[~inside] < 1e-5).all()
    num = len(network.calls)
    outside = torch.full((6,), 0.6)
    assert torch.equal(denoiser(z, outside, x_prev), plain(z, outside, x_prev))
    assert all(len(call["z"]) == 6 for call in network.calls[num:])  # and costs nothing outside


@torch.no_grad()
def test_a_guided_trajectory_shows_known_pixels_clean_in_one_half_and_noisy_in_the_other(network):
    denoiser = replace(guided_by_known(network, known=2.0), schedule=Straight())
    noise = noise_source(X.shape, 1.0, seed=0)().float()
    end = Euler().sample(denoiser, noise, Straight().grid(5), fresh_noise=lambda: noise)
    everywhere = KNOWN.expand_as(X)
    assert torch.equal(end[everywhere], X[everywhere])
    for call in network.calls:
        (without, given), (nothing, known) = call["z"].chunk(2), call["known"].chunk(2)
        on_path = interpolate(X, noise, levels_at(Straight(), call["t"][:6]))
        assert torch.allclose(without[everywhere], on_path[everywhere], atol=1e-5)
        assert torch.equal(given[everywhere], X[everywhere])
        assert torch.equal(known, KNOWN.float())
        assert not nothing.any()


@torch.no_grad()
def test_the_token_posterior_guides_without_training_with_known_pixels(network):
    """In one pass: known pixels are noisy and uncertain in one half, clean and certain in the other."""
    denoiser = Denoiser(
        network,
        PATH,
        Codeword(context="codeword", token_posterior=True, self_conditioning=0.5),
        CODEC,
        Guidance(known=2.5),
    )
    denoiser = denoiser.with_known_pixels(X, KNOWN)
    z, x_prev, t = *two_outputs(), torch.full((6,), 0.4)
    x_hat = denoiser(z, t, x_prev)
    (noisy, clean), (uncertain, certain) = (network.calls[0][name].chunk(2) for name in ("z", "token_posterior"))
    assert len(network.calls) == 1
    everywhere = KNOWN.expand_as(X)
    assert torch.equal(noisy, z)
    assert torch.equal(clean, torch.where(everywhere, X, z))
    assert torch.equal(certain[everywhere], X[everywhere])
    assert not torch.allclose(uncertain[everywhere], X[everywhere], atol=0.01)
    assert torch.allclose(uncertain[~everywhere], certain[~everywhere], atol=1e-5)
    assert not torch.allclose(x_hat, replace(denoiser, guidance=Guidance())(z, t, x_prev), atol=0.01)


def test_a_model_that_always_had_known_pixels_cannot_be_guided_by_them():
    check_guidance(Guidance(known=2.0), Codeword(context="codeword", token_posterior=True))
    check_guidance(Guidance(known=2.0), Codeword(context="codeword", token_posterior=True, known=0.5))
    for objective in (
        Codeword(context="codeword"),
        Codeword(context="codeword", known=1.0),
        Codeword(context="codeword", token_posterior=True, known=1.0),
    ):
        with pytest.raises(ManifestError, match="with and without known pixels"):
            check_guidance(Guidance(known=2.0), objective)


def test_without_known_pixels_nothing_is_guided(network):
    denoiser = Denoiser(network, PATH, Codeword(context="codeword", known=0.5), CODEC, Guidance(known=3.0))
    denoiser(X, torch.full((6,), 0.5))
    assert len(network.calls[0]["z"]) == 6


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["guidance.known=2.0", "objective.known=0.0"], r"guidance.known: found 2 for .* objective.known 0; expected"),
        (["guidance.known=2.0", "objective.known=1.0"], r"guidance.known: found 2 for .* objective.known 1; expected"),
        (["guidance.self_conditioning=2.0"], r"guidance.self_conditioning: found 2 for .* no scale but 1; expected 1"),
        (
            ["guidance.self_conditioning=3.0", "guidance.learned=2.0"],
            r"found 3 for .* learned scales; expected 0.5 to 2",
        ),
        (["guidance.learned=2.0", "objective.self_conditioning=0.0"], r"guidance.learned: found 2 with"),
        (["guidance.known_from=0.5", "guidance.known_to=0.5"], r"known_to: found 0.5; expected more than known_from"),
    ],
)
def test_guidance_that_a_model_cannot_give_is_refused(settings, message):
    with pytest.raises(ManifestError, match=message):
        assemble(resolved(*settings))
