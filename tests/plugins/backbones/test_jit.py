"""The JiT backbone against its requirements, its paper and a plain reference."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from jitkit.kinds import KIND_OF_TABLE
from jitkit.protocols import NetworkInputs
from jitkit.testing import conformance_tests_of, parametrize_conformance
from jitkit.testing.conformance.backbone import every_input_counts
from jitkit_plugins.backbones.blocks import MAX_UNFUSED, Attention, Block, SwiGLU, attend
from jitkit_plugins.backbones.jit import JitSettings, time_features
from jitkit_plugins.backbones.rotary import rotate, rotation

TINY = JitSettings.tiny(Path())
MEMBERS = (
    TINY,
    TINY.model_copy(update={"bottleneck_dim": 5}),
    TINY.model_copy(update={"rope": "text"}),
    TINY.model_copy(update={"time": "input"}),
)
TIMELESS = TINY.model_copy(update={"time": "none"})


@parametrize_conformance("backbone", *MEMBERS)
def test_conformance(conformance_test):
    conformance_test()


@pytest.mark.parametrize(
    "test", [test for test in conformance_tests_of(KIND_OF_TABLE["backbone"]) if test is not every_input_counts]
)
def test_conformance_without_time(test) -> None:
    test(TIMELESS)


@torch.no_grad()
@pytest.mark.parametrize("scale", [False, True])
def test_a_network_without_time_has_no_weights_for_it(scale: bool) -> None:
    """Time has no effect; the guidance scale still has one if it is an input."""
    network = TIMELESS.build(NetworkInputs(token_posterior=True, scale=scale))
    for value in network.parameters():
        value.normal_(std=0.1)
    z, token_posterior = torch.randn(2, 3, 3, 8, 8)
    output = partial(network, z, token_posterior=token_posterior)
    assert torch.equal(output(torch.zeros(3)), output(torch.rand(3)))
    assert not torch.equal(output(torch.zeros(3)), network(z, torch.zeros(3), token_posterior=-token_posterior))
    assert any(name.startswith("time_mlp") for name, _ in network.named_parameters()) == scale
    if scale:
        one, other = (output(torch.zeros(3), scale=torch.full((3,), value)) for value in (1.0, 3.0))
        assert not torch.equal(one, other)


@pytest.mark.parametrize("settings", [*MEMBERS, TIMELESS])
def test_initialization_survives_the_whole_build(settings: JitSettings) -> None:
    """AdaLN and head end at zero, biases at zero, every other matrix and the positions near std 0.02."""
    torch.manual_seed(0)
    network = settings.model_copy(update={"embed_dim": 128, "num_heads": 4}).build(
        NetworkInputs(x_prev=True, known=True)
    )
    zero = {name for name, value in network.named_parameters() if not value.any()}
    by_time = {"blocks.0.modulation.weight", "blocks.1.modulation.weight", "modulation.weight"}
    let_through = {f"blocks.{block}.{part}.out.weight" for block in (0, 1) for part in ("attention", "feed_forward")}
    weights = {name for name in zero if name.endswith(".weight")}
    assert weights == {"pixel_head.weight"} | (by_time if settings.time == "adaln" else let_through)
    for name, value in network.named_parameters():
        if name.endswith("modulation.bias") and name.startswith("blocks") and settings.time != "adaln":
            gates = value.view(6, -1)[[2, 5]]
            assert torch.equal(gates, torch.ones_like(gates))
            assert not value.view(6, -1)[[0, 1, 3, 4]].any()
        elif name.endswith(".bias"):
            assert name in zero
        elif name.endswith("qk_norm"):
            assert torch.equal(value, torch.ones_like(value))
        elif name not in zero:
            error = 5 / math.sqrt(2 * value.numel())  # five standard errors of a standard deviation
            assert value.std().item() == pytest.approx(0.02, rel=error), name
            assert abs(value.mean().item()) < 0.02 * 5 / math.sqrt(value.numel()), name


@pytest.mark.parametrize("time", ["adaln", "input", "none"])
def test_a_new_network_says_nothing(time: str) -> None:
    """With a zero head the first output is exactly zero, and every block is the identity."""
    network = TINY.model_copy(update={"time": time}).build()
    size = TINY.image_size
    assert not network(torch.randn(2, 3, size, size), torch.rand(2)).any()
    x = torch.randn(2, 4, TINY.embed_dim)
    block = network.get_submodule("blocks.0")
    assert torch.equal(block(x, torch.randn(2, TINY.embed_dim), rotation("grid", 2, 16, x.device)), x)


@pytest.mark.parametrize(
    ("width", "depth", "heads", "millions"),
    [(768, 12, 12, 131), (1024, 24, 16, 459), (1280, 32, 16, 953)],
)
def test_sizes_are_those_of_the_paper(width: int, depth: int, heads: int, millions: int) -> None:
    """Within 1.5 %: the paper's counts hold class labels that a language model does not have."""
    with torch.device("meta"):
        network = JitSettings(embed_dim=width, depth=depth, num_heads=heads).build()
    assert sum(value.numel() for value in network.parameters()) == pytest.approx(millions * 1e6, rel=0.015)


def test_patches_are_read_and_written_where_they_lie() -> None:
    """A pixel of the output belongs to the patch of the same place: the way out undoes the way in."""
    network = TINY.build()
    with torch.no_grad():
        for _, value in network.named_parameters():
            value.zero_()
        pixels = 3 * TINY.patch_size**2
        eye = torch.eye(TINY.embed_dim, pixels)
        network.get_parameter("patch_embedding.weight").copy_(eye)
        by_pixel = eye.T.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)  # out: the numbers of a pixel together
        network.get_parameter("pixel_head.weight").copy_(by_pixel)
    z = torch.rand(1, 3, TINY.image_size, TINY.image_size)
    raw = network(z, torch.zeros(1))
    patches = z.reshape(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).flatten(3)  # [1, 2, 2, 48]
    patches[..., TINY.embed_dim :] = 0
    patches = patches / (patches[..., : TINY.embed_dim].square().mean(-1, keepdim=True) + 1e-6).sqrt()
    expected = patches.unflatten(3, (3, 4, 4)).permute(0, 3, 1, 4, 2, 5).reshape(z.shape)
    torch.testing.assert_close(raw, expected)


@pytest.mark.parametrize("order", ["grid", "text"])
def test_rotation_tells_distances_only(order: str) -> None:
    """q . k is the same for all pairs of patches at one distance, and differs between distances."""
    angles = rotation(order, 5, 16, torch.device("cpu"))
    q, k = torch.randn(2, 16)
    both = torch.stack((q, k))[None, None, :, None].expand(1, 25, 2, 1, 16)
    turned = rotate(both, angles)[0, :, :, 0]
    products = turned[:, 0] @ turned[:, 1].T  # [25, 25]
    if order == "text":
        distances = torch.arange(25)[:, None] - torch.arange(25)
    else:
        row, column = torch.arange(25) // 5, torch.arange(25) % 5
        distances = (row[:, None] - row) * 100 + (column[:, None] - column)
    means = []
    for distance in distances.unique():
        values = products[distances == distance]
        torch.testing.assert_close(values, values[:1].expand_as(values), atol=1e-5, rtol=1e-5)
        means.append(round(values[0].item(), 4))
    assert len(set(means)) > 0.9 * len(means)


def test_attention_equals_the_formula() -> None:
    """softmax(rot(norm q) rot(norm k) / sqrt K) v, written out with complex numbers, head by head."""
    torch.manual_seed(0)
    heads, size, side = 2, 8, 3
    attention = Attention(heads * size, heads)
    nn.init.normal_(attention.qk_norm, mean=1, std=0.2)
    x = torch.randn(2, side * side, heads * size)
    angles = rotation("grid", side, size, x.device)

    def turned(vectors: Tensor, weight: Tensor) -> Tensor:  # [N, K]
        normed = vectors / (vectors.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight
        index = torch.arange(side * side)
        frequency = 100.0 ** -torch.tensor([0.0, 0.5])
        angle = torch.cat(((index // side)[:, None] * frequency, (index % side)[:, None] * frequency), dim=1)
        pairs = torch.complex(normed[:, : size // 2], normed[:, size // 2 :]) * torch.polar(torch.ones(()), angle)
        return torch.cat((pairs.real, pairs.imag), dim=1)

    expected = torch.empty_like(x)
    for image in range(2):
        q, k, v = (x[image] @ attention.qkv.weight.T).chunk(3, dim=-1)
        out = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            weight_q, weight_k = attention.qk_norm[:, 0]
            scores = turned(q[:, part], weight_q) @ turned(k[:, part], weight_k).T / math.sqrt(size)
            out.append(scores.softmax(-1) @ v[:, part])
        expected[image] = torch.cat(out, dim=-1) @ attention.out.weight.T
    torch.testing.assert_close(attention(x, angles), expected)


@pytest.mark.parametrize("length", [7, MAX_UNFUSED + 8])
def test_both_ways_of_attention_are_one(length: int) -> None:
    """Step by step up to `MAX_UNFUSED` patches, by torch's kernel beyond."""
    q, k, v = torch.randn(3, 2, 1, length, 8)
    expected = torch.einsum("banm,bamk->bank", (torch.einsum("bank,bamk->banm", q, k) / math.sqrt(8)).softmax(-1), v)
    torch.testing.assert_close(attend(q, k, v), expected)


def test_block_equals_the_formula() -> None:
    """x + gate attention(modulated norm x), then the same around SwiGLU, with the six parts in the DiT order."""
    torch.manual_seed(0)
    block = Block(16, 2, 32).double()
    nn.init.normal_(block.modulation.weight)
    nn.init.normal_(block.modulation.bias)
    x, condition = torch.randn(2, 4, 16).double(), torch.randn(2, 16).double()
    angles = rotation("grid", 2, 8, torch.device("cpu"))

    def norm(y: Tensor) -> Tensor:
        return y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    s1, c1, g1, s2, c2, g2 = block.modulation(condition).reshape(2, 6, 1, 16).unbind(1)
    y = x + g1 * block.attention(norm(x) * (1 + c1) + s1, angles)
    y = y + g2 * block.feed_forward(norm(y) * (1 + c2) + s2)
    torch.testing.assert_close(block(x, condition, angles), y)


def test_feed_forward_equals_the_formula() -> None:
    layer, x = SwiGLU(8, 12), torch.randn(3, 8)
    gate, up = (x @ layer.gate_up.weight.T).chunk(2, dim=-1)
    torch.testing.assert_close(layer(x), (gate * gate.sigmoid() * up) @ layer.out.weight.T)


def test_feed_forward_is_two_thirds_of_four_widths() -> None:
    assert [JitSettings(embed_dim=w, num_heads=2).feed_forward_dim for w in (192, 768, 1024, 1280)] == [
        512,
        2048,
        2720,
        3424,
    ]


def test_times_are_told_apart() -> None:
    """Features of near times differ, those of far times differ more: no two of 1,000 times look alike."""
    features = time_features(torch.linspace(0, 1, 1000))
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(math.inf)
    assert distances.min() > 0.5
    assert features.shape == (1000, 256)
    assert features.abs().max() <= 1


def test_a_shared_time_is_embedded_once() -> None:
    """As samplers give it, expanded; the output is that of a time an image, but for rounding."""
    torch.manual_seed(0)
    network = TINY.build()
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.1)
    shapes: list[torch.Size] = []
    network.get_submodule("blocks.0.modulation").register_forward_hook(lambda *call: shapes.append(call[2].shape))
    z, t = torch.randn(5, 3, 8, 8), torch.tensor(0.3)
    torch.testing.assert_close(network(z, t.expand(5)), network(z, t.repeat(5)), atol=1e-6, rtol=1e-5)
    assert [shape[0] for shape in shapes] == [1, 5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch_size": 5}, "patch_size: found 5; expected a divisor of image_size 64"),
        ({"num_heads": 7}, "num_heads: found 7; expected a divisor of embed_dim 768"),
        (
            {"embed_dim": 72, "num_heads": 12},
            "\\(head width 6\\); expected a head width that is a multiple of 4 for rope = 'grid'",
        ),
        (
            {"embed_dim": 36, "num_heads": 12, "rope": "text"},
            "\\(head width 3\\); expected a head width that is a multiple of 2",
        ),
        ({"depth": 0}, "greater than or equal to 1"),
        ({"mlp_ratio": float("nan")}, "finite number"),
        ({"bottleneck_dim": 0}, "greater than or equal to 1"),
        ({"width": 768}, "Extra inputs are not permitted"),
    ],
)
def test_sizes_that_do_not_fit(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JitSettings.model_validate(values)


def test_inputs_it_was_not_built_for_are_refused() -> None:
    z, t = torch.randn(1, 3, 8, 8), torch.rand(1)
    with pytest.raises(AssertionError, match="x_prev"):
        TINY.build()(z, t, x_prev=z)
    with pytest.raises(AssertionError, match="known"):
        TINY.build(NetworkInputs(x_prev=True))(z, t, known=z[:, :1])


@pytest.mark.slow
def test_compiles_into_one_graph() -> None:
    """No graph breaks, and the same output."""
    network, (z, x_prev) = TINY.build(NetworkInputs(x_prev=True)), torch.randn(2, 2, 3, 8, 8)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.1)
        compiled = torch.compile(network, fullgraph=True)
        torch.testing.assert_close(
            compiled(z, torch.rand(2).fill_(0.3), x_prev=x_prev),
            network(z, torch.rand(2).fill_(0.3), x_prev=x_prev),
            atol=1e-5,
            rtol=1e-4,
        )
