"""The bound equals the entropy for the exact posterior mean, and exceeds it otherwise."""

import math
from dataclasses import replace

import pytest
import torch

from jitkit.evaluation.context import EvaluationContext
from jitkit.testing.oracle import TINY, MemorizedImages, tiny_pipeline, tiny_windows
from jitkit.testing.toys import PATHS
from jitkit_plugins.metrics.likelihood import Likelihood, likelihood_bounds, time_of
from tests.markov_chain import MarkovChain

FLOW = 'schedule = { use = "flow" }'
MODELS = {
    "flow": TINY,
    "cosine": TINY.replace(FLOW, 'schedule = { use = "cosine", noise_scale = 2.5 }'),
    "code": TINY.replace('{ use = "bits" }', '{ use = "code", numbers = 12 }').replace(
        FLOW, 'schedule = { use = "flow", noise_scale = 0.5 }'
    ),
    "base256": TINY.replace(
        '{ use = "bits" }', '{ use = "base256" }'
    ),  # neighbors a 255th apart, so the path ends at snr 1e6
}
SELF_CONDITIONED = TINY.replace('prediction = "x"', 'prediction = "x", self_conditioning = 0.5')
STATES = torch.tensor([97, 98, 114, 122])
UNIFORM = torch.full((4,), 0.25)
POINT = torch.tensor([0.0, 1.0, 0.0, 0.0])
SKEWED = torch.tensor([0.7, 0.1, 0.15, 0.05])
CYCLE = torch.tensor([[0.1, 0.8, 0.05, 0.05], [0.0, 0.2, 0.8, 0.0], [0.3, 0.0, 0.1, 0.6], [0.9, 0.0, 0.0, 0.1]])
DISTRIBUTIONS = {
    "point mass": (POINT, POINT.repeat(4, 1)),
    "independent, equal": (UNIFORM, UNIFORM.repeat(4, 1)),
    "independent, skewed": (SKEWED, SKEWED.repeat(4, 1)),
    "Markov chain": (SKEWED, CYCLE),
}


def chain_of(distribution, manifest=TINY):
    pipeline = tiny_pipeline(manifest)
    return MarkovChain(STATES, *DISTRIBUTIONS[distribution], pipeline.codec, pipeline.denoiser.schedule)


def bits_of(network, windows, manifest=TINY, **changes):
    return likelihood_bounds(context_of(network, windows, manifest, **changes), windows, num_times=16)[0]


def context_of(network, windows, manifest=TINY, seed=0, batch_size=64):
    """Return a context of a model with the given network."""
    pipeline = tiny_pipeline(manifest)
    pipeline = replace(pipeline, denoiser=replace(pipeline.denoiser, network=network))
    sizes = {"num_windows": len(windows), "batch_size": batch_size}
    return EvaluationContext(pipeline, windows, seed=seed, times=(0.5,), **sizes)


@pytest.mark.parametrize(
    ("distribution", "model"),
    [
        *((distribution, "flow") for distribution in DISTRIBUTIONS),
        *(("Markov chain", model) for model in MODELS if model != "flow"),
    ],
)
def test_it_equals_the_entropy_of_a_known_distribution(distribution, model):
    """For the exact posterior mean, bound and -log2 p of a window differ by Monte Carlo noise only."""
    chain = chain_of(distribution, MODELS[model])
    windows = chain.draw(256, torch.Generator().manual_seed(0))
    bound = bits_of(chain, windows, MODELS[model])
    per_token = (bound.diffusion + bound.reconstruction + chain.log2_probability(windows)) / windows.shape[1]
    error = per_token.std().item() / math.sqrt(len(windows))
    assert abs(per_token.mean().item()) < 3 * error + 5e-4
    assert error < 0.03
    assert (bound.reconstruction / windows.shape[1]).mean() < 0.01


def test_given_some_tokens_it_equals_the_conditional_entropy_of_the_others():
    chain = chain_of("Markov chain")
    windows = chain.draw(256, torch.Generator().manual_seed(0))
    half = windows.shape[1] // 2
    known = (torch.arange(windows.shape[1]) < half).expand(len(windows), -1)
    states = (windows[:, :, None] == STATES).int().argmax(2)
    truth = CYCLE[states[:, half - 1 : -1], states[:, half:]].log2().sum(1)
    per_token = (Likelihood(num_times=16).window_bits(context_of(chain, windows), known) + truth) / half
    error = per_token.std().item() / math.sqrt(len(windows))
    assert abs(per_token.mean().item()) < 3 * error + 5e-4
    assert error < 0.04


def test_without_given_tokens_it_is_the_bound_of_the_window():
    windows = tiny_windows(2)
    bits = Likelihood(num_times=16).window_bits(context_of(chain_of("Markov chain"), windows))
    assert torch.equal(bits, sum(bits_of(chain_of("Markov chain"), windows)))


def test_it_equals_the_cross_entropy_for_the_exact_model_of_another_distribution():
    windows = chain_of("Markov chain").draw(64, torch.Generator().manual_seed(0))
    other = chain_of("independent, skewed")
    bound = bits_of(other, windows)
    per_token = (sum(bound) + other.log2_probability(windows)) / windows.shape[1]
    assert abs(per_token.mean().item()) < 4 * per_token.std().item() / 8
    truth = chain_of("Markov chain").log2_probability(windows)
    assert (sum(bound) / windows.shape[1]).mean() > -truth.mean() / windows.shape[1] + 0.5


def test_a_model_of_a_single_text_assigns_it_zero_bits():
    windows = tiny_windows(1)
    memory = MemorizedImages(tiny_pipeline().codec.encode(windows), tiny_pipeline().denoiser.schedule)
    assert sum(bits_of(memory, windows)).item() < 1e-3


def test_a_worse_estimate_costs_more():
    chain = chain_of("Markov chain")
    windows = chain.draw(32, torch.Generator().manual_seed(0))

    class Shrunk(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return 0.9 * chain(z, t)

    assert (sum(bits_of(Shrunk(), windows)) - sum(bits_of(chain, windows))).mean() > 1


def test_with_self_conditioning_the_second_pass_counts():
    chain = chain_of("Markov chain")
    windows = chain.draw(4, torch.Generator().manual_seed(0))

    class SecondPass(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return torch.zeros_like(z) if x_prev is None else chain(z, t)

    assert torch.equal(sum(bits_of(SecondPass(), windows, SELF_CONDITIONED)), sum(bits_of(chain, windows)))


def test_with_self_conditioning_the_bound_is_also_given_for_four_passes():
    """Each pass after the first removes half of what is left of an error, so the fourth estimate is 7/8 of the best."""
    chain = chain_of("Markov chain")
    windows = chain.draw(4, torch.Generator().manual_seed(0))

    class Halving(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return torch.zeros_like(z) if x_prev is None else (x_prev + chain(z, t)) / 2

    class Shrunk(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return 0.875 * chain(z, t)

    halving, shrunk = bits_by_part(Halving(), windows, SELF_CONDITIONED), bits_by_part(Shrunk(), windows)
    assert halving["bound"] > halving["bound, four passes"] + 1
    assert halving["bound, four passes"] == pytest.approx(shrunk["bound"], rel=1e-6)
    assert "bound, four passes" not in shrunk


def bits_by_part(network, windows, manifest=TINY):
    rows = Likelihood().measure(context_of(network, windows, manifest))
    return {row["part"]: row["bits_per_token"] for row in rows}


def test_the_bits_of_a_window_do_not_depend_on_its_batch():
    chain = chain_of("Markov chain")
    windows = chain.draw(6, torch.Generator().manual_seed(0))
    together, alone = bits_of(chain, windows), bits_of(chain, windows[2:3], batch_size=1)
    assert alone.diffusion.item() == pytest.approx(together.diffusion[2].item(), rel=1e-4)
    assert bits_of(chain, windows, seed=1).diffusion[2].item() != together.diffusion[2].item()


@pytest.mark.parametrize("path", PATHS)
def test_time_of_inverts_the_signal_to_noise_ratio(path):
    snr = torch.tensor([0.0, 1e-3, 1.0, 40.0, 1e6])
    at = path.levels(time_of(snr, path))
    found = (at.alpha / (at.sigma * path.noise_scale)).square()
    assert found.tolist() == pytest.approx(snr.tolist(), rel=1e-6, abs=1e-12)
