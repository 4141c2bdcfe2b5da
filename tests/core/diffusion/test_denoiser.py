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
GIVEN = torch.arange(CODEC.capacity).expand(2, -1) % 3 == 0
KNOWN = CODEC.pixel_mask(GIVEN)


@pytest.mark.parametrize("prediction", ["x", "v", "eps"])
def test_it_reads_the_output_as_the_objective_says(network, prediction):
    objective = Flow(prediction=prediction)
    z, t = torch.randn(X.shape), torch.tensor([0.2, 0.8])
    raw = network(z, t)
    expected = objective.estimate(raw, z, t, schedule=Straight(), codec=CODEC)
    assert torch.equal(Denoiser(network, Straight(), objective, CODEC)(z, t), expected)


@pytest.mark.parametrize(("self_conditioning", "passed_on"), [(0.0, False), (0.5, True)])
def test_the_previous_estimate_reaches_only_networks_that_were_trained_with_it(network, self_conditioning, passed_on):
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=self_conditioning), CODEC)
    denoiser(torch.randn(X.shape), torch.tensor([0.5, 0.5]), X)
    assert (network.asked[-1]["x_prev"] is X) == passed_on


@torch.no_grad()
@pytest.mark.parametrize("sampler", [Euler(), Heun(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
@pytest.mark.parametrize("prediction", ["x", "v", "eps"])
def test_known_pixels_are_clean_through_a_whole_walk(network, sampler, prediction):
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
    for image in (end, *estimates, *(asked["z"] for asked in network.asked)):
        assert torch.equal(image[everywhere], X[everywhere])
    assert not torch.allclose(end[~everywhere], X[~everywhere])
    assert all(torch.equal(asked["known"], KNOWN.float()) for asked in network.asked)
    assert torch.equal(CODEC.decode(end)[GIVEN], TOKENS[GIVEN])


def test_giving_pixels_leaves_the_denoiser_as_it_was(network):
    denoiser = Denoiser(network, Straight(), Flow(known=0.5), CODEC)
    denoiser.with_known_pixels(X, KNOWN)
    denoiser(torch.randn(X.shape), torch.tensor([0.5, 0.5]))
    assert network.asked[-1]["known"] is None


@torch.no_grad()
@pytest.mark.parametrize("sampler", [Euler(), Heun(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
def test_without_known_pixels_a_model_is_told_by_the_estimate_it_is_shown(network, sampler):
    """Its z is noisy everywhere, and at the pixels that are given on its own path from noise to what is given."""
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
    first = network.asked[0]
    assert torch.equal(first["x_prev"], torch.where(everywhere, X, 0))
    assert all(torch.equal(asked["x_prev"][everywhere], X[everywhere]) for asked in network.asked)
    assert all(asked["known"] is None for asked in network.asked)
    assert not torch.equal(first["z"][everywhere], X[everywhere])
    for t, z in places:
        noise = (z - t * X)[everywhere] / max(1 - t, 1e-9)
        assert t == 1 or 0.6 < noise.std() < 1.6, (
            f"at {t} the noise of known pixels is {noise.std():.2f} times what it should be"
        )
    assert torch.equal(end[everywhere], X[everywhere])
    assert torch.equal(CODEC.decode(end)[GIVEN], TOKENS[GIVEN])


def test_the_settled_estimate_is_that_of_the_second_pass(network):
    z, t = torch.randn(X.shape), torch.tensor([0.2, 0.8])
    denoiser = Denoiser(network, Straight(), Flow(self_conditioning=0.5), CODEC)
    assert torch.equal(denoiser.self_conditioned(z, t), denoiser(z, t, denoiser(z, t)))
    plain = Denoiser(network, Straight(), Flow(), CODEC)
    assert torch.equal(plain.self_conditioned(z, t), plain(z, t))


# ---------------------------------------------------------------------------------------- what can be read of z


@pytest.mark.parametrize("shown", [True, False])
def test_what_can_be_read_reaches_only_networks_that_were_built_for_it(network, shown):
    z, t = torch.randn(X.shape), torch.tensor([0.3, 0.6])
    Denoiser(network, Straight(), Flow(token_posterior=shown), CODEC)(z, t)
    expected = context_free_estimate(z, t, schedule=Straight(), codec=CODEC)
    assert (network.asked[-1]["token_posterior"] is not None) == shown
    assert not shown or torch.equal(network.asked[-1]["token_posterior"], expected)


@torch.no_grad()
@pytest.mark.parametrize("self_conditioning", [0.0, 0.5])
@pytest.mark.parametrize("sampler", [Euler(), Sde(gamma=2.0), Ddim(eta=1.0)], ids=lambda s: s.name)
def test_what_is_given_is_read_without_doubt(network, sampler, self_conditioning):
    """From the first step on, in `z` as well, and without training with known pixels; the rest is read as ever."""
    objective = Flow(token_posterior=True, self_conditioning=self_conditioning)
    denoiser = Denoiser(network, Straight(), objective, CODEC).with_known_pixels(X, KNOWN.float())
    fresh_noise = noise_source(X.shape, 1.0, seed=0)
    end = sampler.sample(
        denoiser, fresh_noise().float(), Straight().grid(10), fresh_noise=lambda: fresh_noise().float()
    )
    everywhere = KNOWN.expand_as(X)
    blank = context_free_estimate(torch.zeros_like(X), torch.zeros(2), schedule=Straight(), codec=CODEC)
    assert torch.allclose(network.asked[0]["token_posterior"][~everywhere], blank[~everywhere], atol=1e-4)
    for asked in network.asked:
        assert torch.equal(asked["token_posterior"][everywhere], X[everywhere])
        assert torch.equal(asked["z"][everywhere], X[everywhere])
        assert asked["known"] is None
    assert torch.equal(CODEC.decode(end)[GIVEN], TOKENS[GIVEN])
