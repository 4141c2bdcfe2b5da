"""Counts of a run against sums done by hand, and against what training then really holds."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.manifest.schema import Train
from jitkit.protocols import Backbone
from jitkit.training.ema import Averages
from jitkit.training.estimate import estimate
from jitkit.training.optim import build_optimizer

NO_OPTIONS = cast(Any, SimpleNamespace(self_conditioning=0.0, known=0.0))
WIDTH, DEPTH, PATCHES, PIXELS, HIDDEN = 64, 3, 16, 48, 160


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    jit = Registry(create_plugin_manager()).component("backbone", "jit")
    return cast(Backbone, jit.model_validate({"image_size": 16, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": 4}))


def train(**values: object) -> Train:
    return Train.model_validate({"max_steps": 10, **values})


def test_flops_are_those_of_the_matrices(backbone: Backbone) -> None:
    """Two FLOPs a weight and position, four N^2 D for the two products of attention."""
    a_position = PIXELS * WIDTH + DEPTH * (4 * WIDTH**2 + 3 * WIDTH * HIDDEN) + WIDTH * PIXELS
    an_image = 256 * WIDTH + WIDTH**2 + DEPTH * 6 * WIDTH**2 + 2 * WIDTH**2
    by_hand = 2 * (PATCHES * a_position + an_image) + DEPTH * 4 * PATCHES**2 * WIDTH
    found = estimate(backbone, NO_OPTIONS, train(batch_size=8), tokens_per_image=16, num_steps=10)
    assert found.forward_flops == by_hand
    assert found.training_flops == 3 * by_hand
    assert found.run_flops == 3 * by_hand * 8 * 10
    assert found.tokens_per_step == 128
    more = SimpleNamespace(self_conditioning=0.5, known=0.0)
    found = estimate(backbone, cast(Any, more), train(), tokens_per_image=16, num_steps=10)
    assert found.training_flops == 3.5 * found.forward_flops > 3.5 * by_hand


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_bytes_are_those_of_a_real_step(backbone: Backbone, optimizer: str) -> None:
    settings = train(optimizer=optimizer, ema=(0.9, 0.99), batch_size=6, accumulate=2)
    found = estimate(backbone, NO_OPTIONS, settings, tokens_per_image=16, num_steps=10)

    network = backbone.build()
    network(torch.randn(3, 3, 16, 16), torch.rand(3)).sum().backward()
    steps = build_optimizer(network, settings)
    steps.step(0.1)
    weights = sum(value.nbytes for value in network.parameters())
    state = sum(value.nbytes for entry in steps.state_dict().values() for value in entry.values())
    averages = sum(v.nbytes for average in Averages(network, settings.ema).states.values() for v in average.values())
    assert found.num_parameters == weights // 4
    assert (found.memory.weights, found.memory.gradients) == (weights, weights)
    assert (found.memory.optimizer, found.memory.averages) == (state, averages)
    assert found.checkpoint_bytes == weights + state + averages
    half = estimate(backbone, NO_OPTIONS, train(batch_size=3), tokens_per_image=16, num_steps=10)
    assert found.memory.activations == half.memory.activations > 0
    assert found.memory.total == weights * 2 + state + averages + half.memory.activations


def test_activations_are_what_the_backward_pass_needs() -> None:
    """Of a linear layer that is its input, and neither its weights nor its output; once for each image of a part."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8, bias=False)

        def forward(self, z: Tensor, t: Tensor) -> Tensor:
            twice: Tensor = self.layer(z) + 2 * t[:, None, None, None]
            return twice

    backbone = cast(Any, SimpleNamespace(image_size=8, build=lambda **_: Linear()))
    found = estimate(backbone, NO_OPTIONS, train(batch_size=6, accumulate=2), tokens_per_image=16, num_steps=10)
    assert found.memory.activations == 3 * (4 * 3 * 8 * 8)
    assert found.forward_flops == 2 * 3 * 8 * 8 * 8


def test_json_has_every_number(backbone: Backbone) -> None:
    document = estimate(backbone, NO_OPTIONS, train(), tokens_per_image=16, num_steps=10).as_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["memory"]["total"] == sum(v for key, v in document["memory"].items() if key != "total")
