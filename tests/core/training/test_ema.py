"""Averages of weights against their closed form."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import nn

from jitkit.errors import InputError
from jitkit.training.ema import Averages, decay_at


def network(value: float) -> nn.Module:
    module = nn.BatchNorm1d(3)  # has parameters, float buffers and an integer buffer
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)
    return module


def test_an_average_equals_its_closed_form() -> None:
    """After updates w_1 .. w_n the average is w_0 prod d_i + sum_k (1 - d_k) w_k prod_{i > k} d_i, for each decay."""
    weights = [5.0, 1.0, -2.0, 3.0, 8.0]
    averages = Averages(network(weights[0]), (0.999, 0.3))
    for step, weight in enumerate(weights[1:], start=1):
        averages.update(network(weight), step)
    for key, decay in averages.decays.items():
        factors = [decay_at(step, decay) for step in range(1, len(weights))]
        expected, rest = 0.0, 1.0
        for factor, weight in zip(reversed(factors), reversed(weights), strict=False):
            expected += rest * (1 - factor) * weight
            rest *= factor
        expected += rest * weights[0]
        state = averages.state_dict()[key]
        assert state.keys() == network(0).state_dict().keys()
        for name in ("weight", "running_mean"):
            torch.testing.assert_close(state[name], torch.full((3,), expected))
        assert state["num_batches_tracked"] == 8


def test_the_decay_warms_up_and_stays() -> None:
    assert decay_at(1, 0.999) == 2 / 11
    assert decay_at(8_000, 0.999) < 0.999
    assert decay_at(10_000, 0.999) == 0.999
    assert decay_at(1, 0.1) == 0.1


def test_ema_scope_restores_the_weights_bit_for_bit() -> None:
    """Also after an exception. Inside, the network has the first average. Parameters remain the same objects."""
    module = nn.Linear(4, 4)
    averages = Averages(module, (0.9, 0.99))
    with torch.no_grad():
        module.weight.normal_()
    averages.update(module, 1)
    weight, pointer = module.weight.detach().clone(), module.weight.data_ptr()
    first, second = ({name: value.clone() for name, value in state.items()} for state in averages.states.values())
    with suppress(KeyError), averages.ema_scope(module):
        assert torch.equal(module.weight, first["weight"])
        assert module.weight.data_ptr() == pointer
        raise KeyError
    assert torch.equal(module.weight, weight)
    assert torch.equal(averages.states["0.9"]["weight"], first["weight"])
    assert torch.equal(averages.states["0.99"]["weight"], second["weight"])


def test_ema_scope_without_averages_keeps_the_weights() -> None:
    module = nn.Linear(2, 2)
    weight = module.weight.detach().clone()
    with Averages(module, ()).ema_scope(module):
        assert torch.equal(module.weight, weight)


def test_averages_load_their_own_state_and_refuse_others() -> None:
    source = Averages(network(3.0), (0.9, 0.99))
    source.update(network(4.0), 1)
    target = Averages(network(0.0), (0.9, 0.99))
    target.load_state_dict(source.state_dict())
    for key, state in source.states.items():
        assert all(torch.equal(state[name], target.states[key][name]) for name in state)
    source.update(network(9.0), 2)
    assert not torch.equal(source.states["0.9"]["weight"], target.states["0.9"]["weight"])

    with pytest.raises(InputError, match=r"averages of decay 0\.9, 0\.99; expected the decays of train\.ema: 0\.5"):
        Averages(network(0.0), (0.5,)).load_state_dict(source.state_dict())
    with pytest.raises(
        InputError, match=r"ema_state_dict\.0\.9\.bias: found \(3,\) of float32; expected \(2,\) of float32"
    ):
        Averages(nn.BatchNorm1d(2), (0.9, 0.99)).load_state_dict(source.state_dict())
