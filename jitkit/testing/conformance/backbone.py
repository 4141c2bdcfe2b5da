"""Conformance tests of backbones."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jitkit.protocols import Backbone, NetworkInputs
from jitkit.testing.conformance import assert_tensor

BATCH = 3
ALL_INPUTS = NetworkInputs(*(True for _ in fields(NetworkInputs)))


class Inputs(NamedTuple):
    """A batch, as a denoiser passes it."""

    z: Tensor
    t: Tensor
    x_prev: Tensor
    known: Tensor
    token_posterior: Tensor
    scale: Tensor

    def output(self, network: nn.Module) -> Tensor:
        """Return the output of a network that was built with all optional inputs."""
        z, t, *optional = self
        raw: Tensor = network(z, t, **dict(zip(self._fields[2:], optional, strict=True)))
        return raw


def _inputs(backbone: Backbone, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, 3, backbone.image_size, backbone.image_size)
    known = (torch.rand(BATCH, 1, *shape[2:], generator=generator) < 0.5).float()
    z = torch.randn(shape, generator=generator)
    x_prev, token_posterior = torch.rand(2, *shape, generator=generator) * 2 - 1
    t, scale = torch.rand(2, BATCH, generator=generator)
    return Inputs(z, t, x_prev, known, token_posterior, 0.5 + 2 * scale)


def _build(backbone: Backbone, *, seed: int = 0, inputs: NetworkInputs = ALL_INPUTS) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return backbone.build(inputs).eval()


def _perturbed(backbone: Backbone) -> nn.Module:
    """Return a network whose parameters have moved a little from their initial values, so that zero gates are open."""
    network = _build(backbone)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return network


def output_is_an_image(backbone: Backbone) -> None:
    """The output is finite and float32 at every t in [0, 1], also under bfloat16 autocast, with any number of channels."""
    network, inputs = _perturbed(backbone), _inputs(backbone)
    for t, autocast in product((0.0, 0.5, 1.0), (False, True)):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            raw = inputs._replace(t=torch.full((BATCH,), t)).output(network)
        assert_tensor(f"the output with autocast={autocast}", raw, inputs.z.shape, torch.float32)
        assert raw.isfinite().all(), f"non-finite values at t={t}"
    for channels in (1, 3, 10):
        with torch.no_grad():
            raw = backbone.build(channels=channels).eval()(inputs.z, inputs.t)
        assert_tensor("the output", raw, (BATCH, channels, *inputs.z.shape[2:]), torch.float32)


def images_do_not_influence_each_other(backbone: Backbone) -> None:
    """The output of an image does not depend on its neighbors in the batch."""
    network, inputs = _perturbed(backbone), _inputs(backbone)
    others = _inputs(backbone, seed=1)
    mixed = Inputs(*(torch.cat((one[:1], other[1:])) for one, other in zip(inputs, others, strict=True)))
    with torch.no_grad():
        difference = (inputs.output(network)[0] - mixed.output(network)[0]).abs().max().item()
    assert difference < 1e-5, f"other neighbors change an image by {difference:.2g}"


def every_input_counts(backbone: Backbone) -> None:
    """The output depends on z, t and every optional input that the network was built with."""
    network, inputs, others = _perturbed(backbone), _inputs(backbone), _inputs(backbone, seed=1)
    with torch.no_grad():
        raw = inputs.output(network)
        for name in Inputs._fields:
            changed = inputs._replace(**{name: getattr(others, name)})
            assert not torch.equal(raw, changed.output(network)), f"{name} does not change the output"


def missing_inputs_are_zeros(backbone: Backbone) -> None:
    """None as an optional input means zeros; every combination of optional inputs can be built."""
    network, inputs = _perturbed(backbone), _inputs(backbone)
    zeros = inputs._replace(**{name: torch.zeros_like(getattr(inputs, name)) for name in Inputs._fields[2:]})
    with torch.no_grad():
        assert torch.equal(network(inputs.z, inputs.t), zeros.output(network)), "None differs from zeros"
        for values in product((True, False), repeat=len(fields(NetworkInputs))):
            taken = NetworkInputs(*values)
            raw = _build(backbone, inputs=taken)(inputs.z, inputs.t)
            assert raw.shape == inputs.z.shape, f"shape {tuple(raw.shape)} when built with {taken}"


def every_parameter_gets_gradient(backbone: Backbone) -> None:
    """After the first step, every parameter gets a finite gradient that is not all zero; before it, some parameter does."""
    network, inputs = _perturbed(backbone), _inputs(backbone)
    torch.autograd.backward(inputs.output(network).square().mean())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert parameter.grad.isfinite().all(), f"{name} gets a non-finite gradient"
        assert parameter.grad.any(), f"{name} gets a zero gradient"
    network = _build(backbone)
    torch.autograd.backward((inputs.output(network) - inputs.x_prev).square().mean())
    grads = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert any(grad.any() for grad in grads), (
        "every gradient of a new network is zero, so its weights cannot leave zero"
    )


def short_texts_teach(backbone: Backbone) -> None:
    """The pixels of any single patch give the whole network a gradient, so that short texts are learned from."""
    network, inputs = _perturbed(backbone), _inputs(backbone)
    size, patch = backbone.image_size, backbone.patch_size
    for corner in (0, size - patch):
        network.zero_grad()
        pixels = inputs.output(network)[:, :, corner : corner + patch, corner : corner + patch]
        torch.autograd.backward(pixels.square().mean())
        silent = [
            name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
        ]
        assert not silent, f"the patch at ({corner}, {corner}) gives no gradient to {silent[0]}"


def state_dict_round_trips(backbone: Backbone) -> None:
    """The state dict holds everything that the output depends on, also for a network that was built on `meta`."""
    network, other, inputs = _perturbed(backbone), _build(backbone, seed=7), _inputs(backbone)
    other.load_state_dict({name: value.clone() for name, value in network.state_dict().items()}, strict=True)
    with torch.device("meta"):
        empty = backbone.build(ALL_INPUTS).eval()
    assert all(parameter.device.type == "meta" for parameter in empty.parameters()), "a parameter is not on meta"
    empty.load_state_dict(network.state_dict(), strict=True, assign=True)
    with torch.no_grad():
        for loaded in (other, empty):
            assert torch.equal(inputs.output(network), inputs.output(loaded)), "loaded weights give another output"


def equal_seeds_build_equal_networks(backbone: Backbone) -> None:
    """Equal seeds of torch's global generator build equal networks, different seeds different ones."""
    first, again, other = (_build(backbone, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first), "equal seeds build different networks"
    assert any(not torch.equal(first[name], other[name]) for name in first), "the seed changes nothing"
