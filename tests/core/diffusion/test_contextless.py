import math

import pytest
import torch

from jitkit.diffusion.contextless import accuracy_under_noise, contextless_accuracy, uniform_tokens
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.schedules.flow import Flow


def measured(codec, schedule, t: float, num_tokens: int = 40_000) -> float:
    generator = torch.Generator().manual_seed(0)
    return contextless_accuracy(codec, schedule, t, uniform_tokens(codec, num_tokens, generator), generator)


@pytest.mark.parametrize(("t", "noise_scale"), [(0.3, 1.0), (0.5, 1.0), (0.5, 0.5), (0.7, 2.0)])
def test_bits_are_read_as_the_normal_distribution_says(t: float, noise_scale: float) -> None:
    sigma = noise_scale * (1 - t) / t
    right = 0.5 * (1 + math.erf(1 / sigma / 2**0.5))
    accuracy = measured(Bits().build(64, 16, 4), Flow(noise_scale=noise_scale), t)
    assert accuracy == pytest.approx(right**6, abs=0.01)


def test_ends_are_chance_and_certainty() -> None:
    codec = Bits().build(64, 16, 4)
    assert measured(codec, Flow(), 0.0) == pytest.approx(1 / 64, abs=0.005)
    assert measured(codec, Flow(), 1.0) == 1


def test_the_line_of_the_small_model_is_where_it_was_found() -> None:
    line = [measured(Code().build(65, 32, 4), Flow(noise_scale=3.0), t) for t in (0.3, 0.5, 0.7)]
    assert line == pytest.approx([0.11, 0.47, 0.99], abs=0.02)


def test_it_follows_its_generator() -> None:
    codec = Bits().build(64, 16, 4)
    assert measured(codec, Flow(), 0.4) == measured(codec, Flow(), 0.4)
    tokens = uniform_tokens(codec, 1000, torch.Generator().manual_seed(0))
    assert tokens.shape == (1000 // codec.capacity + 1, codec.capacity)
    one, other = (accuracy_under_noise(codec, 0.9, tokens, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert one != other
