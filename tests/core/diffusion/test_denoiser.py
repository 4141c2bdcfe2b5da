import pytest
import torch

from jitkit.diffusion.context_free import context_free_estimate
from jitkit.diffusion.denoiser import Denoiser
from jitkit.testing.toys import Straight, noise_source, toy_codec
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.samplers.ddim import Ddim
from jitkit_plugins.samplers.euler import Euler
from jitkit_plugins.samplers.heun import Heun
from jitkit_plugins.samplers.sde import Sde

CODEC = toy_codec()
TOKENS = torch.randint(8, (2, CODEC.capacity), generator=torch.Generator().manual_seed(0))
X = CODEC.encode(TOKENS)
KNOWN_TOKENS = torch.arange(CODEC.capacity).expand(2, -1) % 3 == 0
KNOWN = CODEC.pixel_mask(KNOWN_TOKENS)


@pytest.mark.parametrize("prediction", ["x", "v", "eps"])
def test_the_estimate_follows_the_objective(network, prediction):
    objective = Flow(prediction=prediction)
    z, t = torch.randn(X.shape), torch.tensor([0.2, 0.8])
    raw = network(z, t)
    expected = objective.estimate(raw, z, t, schedule=Straight(), codec=CODEC)
    assert torch.equal(Denoiser(network, Straight(), objective, CODEC)(z, t), expected)


@pytest.mark.parametrize(("self_conditioning", "passed_on"), [(0.0, False), (0.5, True)])
def test_the_previous_estimate_reaches_only_networks_with_self_conditioning(network, self_conditioning, passed_on):
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=self_conditioning), CODEC)
    denoiser(torch.randn(X.shape), torch.tensor([0.5, 0.5]), X)
    assert (network.calls[-1]["x_prev"] is X) == passed_on


@torch.no_grad()
@pytest.mark.parametrize("sampler", [Euler(), Heun(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
@pytest.mark.parametrize("prediction", ["x", "v", "eps"])
def test_known_pixels_are_clean_along_a_whole_trajectory(network, sampler, prediction):
    objective = Flow(prediction=prediction, known=0.5, self_conditioning=0.5)
    denoiser = Denoiser(network, Straight(), objective, CODEC).with_known_pixels(X, KNOWN.float())
    fresh_noise, estimates = noise_source(X.shape, 1.0, seed=0), []
    end = sampler.sample(
        denoiser,
        fresh_noise().float(),
        Straight().grid(10),
        fresh_noise=lambda: fresh_noise().float(),
        on_step=lambda step: estimates.append(step.x_hat),
    )
    everywhere = KNOWN.expand_as(X)
    for image in (end, *estimates, *(call["z"] for call in network.calls)):
        assert torch.equal(image[everywhere], X[everywhere])
    assert not torch.allclose(end[~everywhere], X[~everywhere])
    assert all(torch.equal(call["known"], KNOWN.float()) for call in network.calls)
    assert torch.equal(CODEC.decode(end)[KNOWN_TOKENS], TOKENS[KNOWN_TOKENS])


def test_with_known_pixels_does_not_change_the_denoiser(network):
    denoiser = Denoiser(network, Straight(), Flow(known=0.5), CODEC)
    denoiser.with_known_pixels(X, KNOWN)
    denoiser(torch.randn(X.shape), torch.tensor([0.5, 0.5]))
    assert network.calls[-1]["known"] is None


@torch.no_grad()
@pytest.mark.parametrize("sampler", [Euler(), Heun(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
def test_a_model_with_self_conditioning_alone_sees_known_pixels_in_its_estimate(network, sampler):
    """Its z is noisy everywhere; known pixels follow their own path from noise to data."""
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=1.0), CODEC).with_known_pixels(X, KNOWN.float())
    fresh_noise, places = noise_source(X.shape, 1.0, seed=0), []
    end = sampler.sample(
        denoiser,
        fresh_noise().float(),
        Straight().grid(10),
        fresh_noise=lambda: fresh_noise().float(),
        on_step=lambda step: places.append((step.t, step.z)),
    )
    everywhere = KNOWN.expand_as(X)
    first = network.calls[0]
    assert torch.equal(first["x_prev"], torch.where(everywhere, X, 0))
    assert all(torch.equal(call["x_prev"][everywhere], X[everywhere]) for call in network.calls)
    assert all(call["known"] is None for call in network.calls)
    assert not torch.equal(first["z"][everywhere], X[everywhere])
    for t, z in places:
        noise = (z - t * X)[everywhere] / max(1 - t, 1e-9)
        assert t == 1 or 0.6 < noise.std() < 1.6, (
            f"at {t} the noise of known pixels is {noise.std():.2f} times what it should be"
        )
    assert torch.equal(end[everywhere], X[everywhere])
    assert torch.equal(CODEC.decode(end)[KNOWN_TOKENS], TOKENS[KNOWN_TOKENS])


def test_the_self_conditioned_estimate_is_that_of_the_second_pass(network):
    z, t = torch.randn(X.shape), torch.tensor([0.2, 0.8])
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=0.5), CODEC)
    second = denoiser(z, t, denoiser(z, t))
    assert torch.equal(denoiser.self_conditioned(z, t), second)
    assert torch.equal(denoiser.self_conditioned(z, t, second), denoiser(z, t, denoiser(z, t, second)))
    plain = Denoiser(network, Straight(), Flow(), CODEC)
    assert torch.equal(plain.self_conditioned(z, t), plain(z, t))


# ---------------------------------------------------------------------------------------- the context-free posterior


@pytest.mark.parametrize("shown", [True, False])
def test_the_token_posterior_reaches_only_networks_that_were_built_with_it(network, shown):
    z, t = torch.randn(X.shape), torch.tensor([0.3, 0.6])
    Denoiser(network, Straight(), Flow(token_posterior=shown), CODEC)(z, t)
    expected = context_free_estimate(z, t, schedule=Straight(), codec=CODEC)
    assert (network.calls[-1]["token_posterior"] is not None) == shown
    assert not shown or torch.equal(network.calls[-1]["token_posterior"], expected)


@torch.no_grad()
@pytest.mark.parametrize("self_conditioning", [0.0, 0.5])
@pytest.mark.parametrize("sampler", [Euler(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
def test_known_tokens_are_certain_in_the_token_posterior(network, sampler, self_conditioning):
    """From the first step on, and also in `z`, without training with known pixels; other tokens are unchanged."""
    objective = Flow(token_posterior=True, self_conditioning=self_conditioning)
    denoiser = Denoiser(network, Straight(), objective, CODEC).with_known_pixels(X, KNOWN.float())
    fresh_noise = noise_source(X.shape, 1.0, seed=0)
    end = sampler.sample(
        denoiser, fresh_noise().float(), Straight().grid(10), fresh_noise=lambda: fresh_noise().float()
    )
    everywhere = KNOWN.expand_as(X)
    blank = context_free_estimate(torch.zeros_like(X), torch.zeros(2), schedule=Straight(), codec=CODEC)
    assert torch.allclose(network.calls[0]["token_posterior"][~everywhere], blank[~everywhere], atol=1e-4)
    for call in network.calls:
        assert torch.equal(call["token_posterior"][everywhere], X[everywhere])
        assert torch.equal(call["z"][everywhere], X[everywhere])
        assert call["known"] is None
    assert torch.equal(CODEC.decode(end)[KNOWN_TOKENS], TOKENS[KNOWN_TOKENS])
