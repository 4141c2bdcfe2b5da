"""Laws of backbones."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jitkit.protocols import Backbone
from jitkit.testing.law import Law

BATCH = 3
ALL_INPUTS = {"x_prev": True, "known": True, "reading": True, "scale": True}


class Inputs(NamedTuple):
    """A batch, as a denoiser gives it."""

    z: Tensor
    t: Tensor
    x_prev: Tensor
    known: Tensor
    reading: Tensor
    scale: Tensor

    def of(self, network: nn.Module) -> Tensor:
        """Return the output of a network that was built with all optional inputs."""
        raw: Tensor = network(
            self.z, self.t, x_prev=self.x_prev, known=self.known, reading=self.reading, scale=self.scale
        )
        return raw


def _inputs(backbone: Backbone, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCH, 3, backbone.image_size, backbone.image_size)
    known = (torch.rand(BATCH, 1, *shape[2:], generator=generator) < 0.5).float()
    z = torch.randn(shape, generator=generator)
    x_prev, reading = torch.rand(2, *shape, generator=generator) * 2 - 1
    t, scale = torch.rand(2, BATCH, generator=generator)
    return Inputs(z, t, x_prev, known, reading, 0.5 + 2 * scale)


def _build(backbone: Backbone, *, seed: int = 0, flags: dict[str, bool] = ALL_INPUTS) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return backbone.build(**flags).eval()


def _stepped(backbone: Backbone) -> nn.Module:
    """Return a network that is no longer new: each number moved a little, so that zero gates are open."""
    network = _build(backbone)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return network


def output_is_an_image(backbone: Backbone) -> None:
    """The output is a finite float32 image at every t in [0, 1], also under bfloat16 autocast."""
    network, inputs = _stepped(backbone), _inputs(backbone)
    for t in (0.0, 0.5, 1.0):
        for autocast in (False, True):
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                raw = inputs._replace(t=torch.full((BATCH,), t)).of(network)
            assert raw.shape == inputs.z.shape, f"shape {tuple(raw.shape)} instead of {tuple(inputs.z.shape)}"
            assert raw.dtype == torch.float32, f"{raw.dtype} with autocast={autocast}"
            assert raw.isfinite().all(), f"values that are not finite at t={t}"


def images_do_not_influence_each_other(backbone: Backbone) -> None:
    """What a network makes of an image does not depend on its neighbours in the batch."""
    network, inputs = _stepped(backbone), _inputs(backbone)
    others = _inputs(backbone, seed=1)
    mixed = Inputs(*(torch.cat((one[:1], other[1:])) for one, other in zip(inputs, others, strict=True)))
    with torch.no_grad():
        difference = (inputs.of(network)[0] - mixed.of(network)[0]).abs().max().item()
    assert difference < 1e-5, f"other neighbours change an image by {difference:.2g}"


def every_input_counts(backbone: Backbone) -> None:
    """The output depends on z, t, x_prev, known, reading and scale, where the network is built with them."""
    network, inputs, others = _stepped(backbone), _inputs(backbone), _inputs(backbone, seed=1)
    with torch.no_grad():
        raw = inputs.of(network)
        for name in Inputs._fields:
            changed = inputs._replace(**{name: getattr(others, name)})
            assert not torch.equal(raw, changed.of(network)), f"{name} does not change the output"


def missing_inputs_are_zeros(backbone: Backbone) -> None:
    """None in place of `x_prev`, `known`, `reading` or `scale` means zeros; a network built without them does without."""
    network, inputs = _stepped(backbone), _inputs(backbone)
    zeros = inputs._replace(**{name: torch.zeros_like(getattr(inputs, name)) for name in ALL_INPUTS})
    with torch.no_grad():
        assert torch.equal(network(inputs.z, inputs.t), zeros.of(network)), "None is not the same as zeros"
        for values in product((True, False), repeat=len(ALL_INPUTS)):
            flags = dict(zip(ALL_INPUTS, values, strict=True))
            raw = _build(backbone, flags=flags)(inputs.z, inputs.t)
            assert raw.shape == inputs.z.shape, f"shape {tuple(raw.shape)} when built with {flags}"


def as_many_channels_as_asked_for(backbone: Backbone) -> None:
    """A network built with so many `channels` says so many numbers of each pixel."""
    inputs = _inputs(backbone)
    for channels in (1, 3, 10):
        with torch.no_grad():
            raw = backbone.build(channels=channels).eval()(inputs.z, inputs.t)
        expected = (BATCH, channels, *inputs.z.shape[2:])
        assert raw.shape == expected, f"shape {tuple(raw.shape)} with channels={channels}"


def every_parameter_gets_gradient(backbone: Backbone) -> None:
    """A step after the first, every parameter gets a gradient that is finite and not all zero."""
    network, inputs = _stepped(backbone), _inputs(backbone)
    torch.autograd.backward(inputs.of(network).square().mean())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert parameter.grad.isfinite().all(), f"{name} gets a gradient that is not finite"
        assert parameter.grad.any(), f"{name} gets a gradient of zeros"


def short_texts_teach(backbone: Backbone) -> None:
    """The pixels of one patch, wherever it lies, give the whole network a gradient: no text is too short to learn from."""
    network, inputs = _stepped(backbone), _inputs(backbone)
    size, patch = backbone.image_size, backbone.patch_size
    for corner in (0, size - patch):
        network.zero_grad()
        pixels = inputs.of(network)[:, :, corner : corner + patch, corner : corner + patch]
        torch.autograd.backward(pixels.square().mean())
        silent = [
            name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
        ]
        assert not silent, f"the patch at ({corner}, {corner}) gives no gradient to {silent[0]}"


def a_new_network_learns(backbone: Backbone) -> None:
    """A new network has some parameter with a gradient, so that zero-initialised parts can leave zero."""
    network, inputs = _build(backbone), _inputs(backbone)
    torch.autograd.backward((inputs.of(network) - inputs.x_prev).square().mean())
    grads = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert any(grad.any() for grad in grads), "every gradient of a new network is zero"


def builds_on_meta(backbone: Backbone) -> None:
    """It builds without memory on `meta`, and works as well once weights are loaded into that."""
    real = _stepped(backbone)
    with torch.device("meta"):
        empty = backbone.build(**ALL_INPUTS).eval()
    assert all(parameter.device.type == "meta" for parameter in empty.parameters()), "a parameter is not on meta"
    empty.load_state_dict(real.state_dict(), strict=True, assign=True)
    inputs = _inputs(backbone)
    with torch.no_grad():
        assert torch.equal(inputs.of(real), inputs.of(empty)), "built on meta and loaded, it is another network"


def state_dict_round_trips(backbone: Backbone) -> None:
    """The state dict holds all that the output depends on."""
    network, other, inputs = _stepped(backbone), _build(backbone, seed=7), _inputs(backbone)
    other.load_state_dict({name: value.clone() for name, value in network.state_dict().items()}, strict=True)
    with torch.no_grad():
        assert torch.equal(inputs.of(network), inputs.of(other)), "loaded weights give another output"


def equal_seeds_build_equal_networks(backbone: Backbone) -> None:
    """Equal seeds of torch's global generator build equal networks, other seeds others."""
    first, again, other = (_build(backbone, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first), "equal seeds build different networks"
    assert any(not torch.equal(first[name], other[name]) for name in first), "the seed changes nothing"


LAWS: tuple[Law, ...] = (
    output_is_an_image,
    images_do_not_influence_each_other,
    every_input_counts,
    missing_inputs_are_zeros,
    as_many_channels_as_asked_for,
    every_parameter_gets_gradient,
    short_texts_teach,
    a_new_network_learns,
    builds_on_meta,
    state_dict_round_trips,
    equal_seeds_build_equal_networks,
)
