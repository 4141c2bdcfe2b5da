import math

import pytest
import torch

from jitkit.diffusion.context_free import (
    accuracy_under_noise,
    context_free_accuracy,
    context_free_estimate,
    context_free_logits,
    error_under_noise,
    uniform_tokens,
)
from jitkit.diffusion.process import interpolate, levels_at
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.schedules.flow import Flow


def measured(codec, schedule, t: float, num_tokens: int = 40_000) -> float:
    generator = torch.Generator().manual_seed(0)
    return context_free_accuracy(codec, schedule, t, uniform_tokens(codec, num_tokens, generator), generator)


@pytest.mark.parametrize(("t", "noise_scale"), [(0.3, 1.0), (0.5, 1.0), (0.5, 0.5), (0.7, 2.0)])
def test_accuracy_of_bits_follows_the_normal_distribution(t: float, noise_scale: float) -> None:
    sigma = noise_scale * (1 - t) / t
    right = 0.5 * (1 + math.erf(1 / sigma / 2**0.5))
    accuracy = measured(Bits().build(64, 16, 4), Flow(noise_scale=noise_scale), t)
    assert accuracy == pytest.approx(right**6, abs=0.01)


def test_accuracy_is_chance_at_noise_and_one_at_data() -> None:
    codec = Bits().build(64, 16, 4)
    assert measured(codec, Flow(), 0.0) == pytest.approx(1 / 64, abs=0.005)
    assert measured(codec, Flow(), 1.0) == 1


def test_the_baseline_of_the_small_model_is_reproduced() -> None:
    line = [measured(Code().build(65, 32, 4), Flow(noise_scale=3.0), t) for t in (0.3, 0.5, 0.7)]
    assert line == pytest.approx([0.11, 0.47, 0.99], abs=0.02)


def test_accuracy_follows_its_generator() -> None:
    codec = Bits().build(64, 16, 4)
    assert measured(codec, Flow(), 0.4) == measured(codec, Flow(), 0.4)
    tokens = uniform_tokens(codec, 1000, torch.Generator().manual_seed(0))
    assert tokens.shape == (1000 // codec.capacity + 1, codec.capacity)
    one, other = (accuracy_under_noise(codec, 0.9, tokens, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert one != other


# ------------------------------------------------------------------------------------ the context-free estimate

CODECS = [Bits().build(64, 16, 4), Bits().build(50, 16, 4), Code().build(65, 32, 4)]


def noised(codec, schedule, t: float, num_tokens: int = 20_000):
    generator = torch.Generator().manual_seed(1)
    tokens = uniform_tokens(codec, num_tokens, generator)
    x, times = codec.encode(tokens), torch.full((len(tokens),), t)
    noise = torch.randn(x.shape, generator=generator) * schedule.noise_scale
    return tokens, x, interpolate(x, noise, levels_at(schedule, times)), times


@pytest.mark.parametrize("codec", CODECS, ids=["bits", "bits, some free", "code"])
def test_the_estimate_is_the_mean_codeword_at_noise_and_the_image_at_data(codec) -> None:
    schedule = Flow(noise_scale=1.5)
    _, x, z, times = noised(codec, schedule, 0.0, 500)
    mean = codec.mean_image(torch.full((1, codec.capacity, codec.vocab_size), 1 / codec.vocab_size))
    assert torch.allclose(context_free_estimate(z, times, schedule=schedule, codec=codec), mean.expand_as(z), atol=1e-3)
    for t in (0.999, 1.0):
        _, x, z, times = noised(codec, schedule, t, 500)
        assert torch.allclose(context_free_estimate(z, times, schedule=schedule, codec=codec), x, atol=1e-4)


@pytest.mark.parametrize("t", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("codec", CODECS, ids=["bits", "bits, some free", "code"])
def test_the_estimate_is_the_posterior_mean(codec, t: float) -> None:
    """Its error is uncorrelated with it, and has the smallest possible square."""
    schedule = Flow(noise_scale=1.5)
    _, x, z, times = noised(codec, schedule, t)
    estimate = context_free_estimate(z, times, schedule=schedule, codec=codec)
    error = x - estimate
    assert (error * estimate).mean().abs() < 0.01
    assert (error * z).mean().abs() < 0.02
    sigma = 1.5 * (1 - t) / t
    least = error_under_noise(codec, sigma, uniform_tokens(codec, 20_000, torch.Generator()), torch.Generator())
    assert error.square().mean() == pytest.approx(least, rel=0.05, abs=5e-4)


def test_token_probabilities_are_calibrated() -> None:
    """Tokens with probability p are right with frequency p."""
    codec, schedule = CODECS[2], Flow(noise_scale=3.0)
    tokens, _, z, times = noised(codec, schedule, 0.45)
    sure = context_free_logits(z, times, schedule=schedule, codec=codec).softmax(-1).max(-1)
    right = (sure.indices == tokens).float()
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        among = (low <= sure.values) & (sure.values < high)
        assert right[among].mean() == pytest.approx(sure.values[among].mean().item(), abs=0.04)
