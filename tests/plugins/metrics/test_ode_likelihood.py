"""The ODE bound equals the entropy for the exact posterior mean, and its error falls with the number of steps."""

import math
from dataclasses import replace

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.testing.oracle import TINY, MemorizedImages, oracle_context, tiny_pipeline, tiny_windows
from jitkit.testing.toys import GaussianWorld
from jitkit_plugins.metrics.likelihood import end_snr
from jitkit_plugins.metrics.ode_likelihood import ode_bound
from tests.plugins.metrics.test_likelihood_bound import DISTRIBUTIONS, MODELS, chain_of, context_of
from tests.tiny import resolved


def bits_of(network, windows, manifest=TINY, num_steps=32, **changes):
    return ode_bound(context_of(network, windows, manifest, **changes), windows, num_steps)


@pytest.mark.parametrize(
    ("distribution", "model"),
    [
        *((distribution, "flow") for distribution in DISTRIBUTIONS),
        *(("Markov chain", model) for model in MODELS if model != "flow"),
    ],
)
def test_it_equals_the_entropy_of_a_known_distribution(distribution, model):
    """For the exact posterior mean, bound and -log2 p of a window differ by Monte Carlo noise and solver error only."""
    chain = chain_of(distribution, MODELS[model])
    windows = chain.draw(64, torch.Generator().manual_seed(0))
    bound = bits_of(chain, windows, MODELS[model])
    per_token = (sum(bound) + chain.log2_probability(windows)) / windows.shape[1]
    error = per_token.std().item() / math.sqrt(len(windows))
    assert abs(per_token.mean().item()) < 3 * error + 0.02
    assert error < 0.02


class Linear(torch.nn.Module):
    """The posterior mean if every number of an image is N(0, std^2), without any codeword."""

    def __init__(self, std):
        super().__init__()
        self.world = GaussianWorld(tiny_pipeline().denoiser.schedule, std)

    def forward(self, z, t, *, x_prev=None, known=None):
        return self.world(z, t)


@pytest.mark.parametrize("std", [0.0, 0.5, 1.0])
def test_for_a_gaussian_model_it_equals_the_cross_entropy_of_its_density(std):
    """The cost of the texts' images under N(0, 1 + R^2 std^2) is known in closed form."""
    windows = tiny_windows(48)
    codec = tiny_pipeline().codec
    end = end_snr(codec)
    numbers = codec.pixels_per_token * 3 * codec.capacity
    variance = 1 + end * std**2
    squares = codec.encode(windows).square()[codec.pixel_mask(windows >= 0).expand(-1, 3, -1, -1)].view(48, -1).sum(1)
    nats = (numbers * math.log(variance) + (numbers + end * squares) / variance - numbers) / 2
    flow = bits_of(Linear(std), windows, num_steps=64).flow * math.log(2)
    assert flow.mean().item() == pytest.approx(nats.mean().item(), abs=4 * flow.std().item() / 48**0.5 + 0.1)
    assert nats.mean() > 100


def test_the_error_of_the_solver_falls_with_the_square_of_the_steps():
    windows = tiny_windows(2)
    exact = bits_of(Linear(0.5), windows, num_steps=512).flow
    errors = [(bits_of(Linear(0.5), windows, num_steps=steps).flow - exact).abs().max() for steps in (32, 64)]
    assert 3 < (errors[0] / errors[1]).item() < 5


def test_a_model_of_a_single_text_assigns_it_zero_bits():
    windows = tiny_windows(1)
    memory = MemorizedImages(tiny_pipeline().codec.encode(windows), tiny_pipeline().denoiser.schedule)
    assert sum(bits_of(memory, windows)).item() == pytest.approx(0, abs=1e-3)


def test_a_worse_estimate_costs_more():
    chain = chain_of("Markov chain")
    windows = chain.draw(16, torch.Generator().manual_seed(0))

    class Shrunk(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return 0.9 * chain(z, t)

    assert (sum(bits_of(Shrunk(), windows)) - sum(bits_of(chain, windows))).mean() > 1


def test_with_self_conditioning_the_second_pass_counts():
    chain = chain_of("Markov chain")
    windows = chain.draw(2, torch.Generator().manual_seed(0))

    class SecondPass(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return torch.zeros_like(z) if x_prev is None else chain(z, t)

    manifest = TINY.replace('prediction = "x"', 'prediction = "x", self_conditioning = 0.5')
    assert torch.equal(sum(bits_of(SecondPass(), windows, manifest)), sum(bits_of(chain, windows)))


def test_the_bits_of_a_window_do_not_depend_on_its_batch():
    chain = chain_of("Markov chain")
    windows = chain.draw(4, torch.Generator().manual_seed(0))
    together, alone = bits_of(chain, windows), bits_of(chain, windows[2:3], batch_size=1)
    assert alone.flow.item() == pytest.approx(together.flow[2].item(), rel=1e-3)
    assert bits_of(chain, windows, seed=1).flow[2].item() != together.flow[2].item()


def test_it_can_be_measured_after_inference_mode():
    """A codec caches tensors, also in inference mode."""
    codeword = TINY.replace('use = "flow", prediction = "x"', 'use = "codeword"')
    pipeline = assemble(resolved(text=codeword))
    with torch.inference_mode():
        pipeline.denoiser(torch.zeros(1, 3, 8, 8), torch.zeros(1))
    assert (
        ode_bound(replace(oracle_context(tiny_windows(1)), pipeline=pipeline), tiny_windows(1), 2).flow.isfinite().all()
    )
