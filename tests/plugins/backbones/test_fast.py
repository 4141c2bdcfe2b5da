"""The fast way through a block against the formulas: values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from jitkit_plugins.backbones import blocks, fast, formulas
from jitkit_plugins.backbones.jit import JitSettings
from jitkit_plugins.backbones.rotary import rotation

HEADS = ("rms_norm", "heads", "swiglu")
ANGLES = rotation("grid", 3, 8, torch.device("cpu"))

CASES: dict[str, tuple[Callable[..., object], Callable[..., object], list[tuple[int, ...]]]] = {
    "rms_norm, gain an image": (fast.rms_norm, formulas.rms_norm, [(5, 9, 16), (5, 1, 16), (5, 1, 16)]),
    "rms_norm, gain for all": (fast.rms_norm, formulas.rms_norm, [(5, 9, 16), (1, 1, 16), (1, 1, 16)]),
    "heads": (
        lambda qkv, gain: fast.heads(qkv, gain, ANGLES),
        lambda qkv, gain: formulas.heads(qkv, gain, ANGLES),
        [(5, 9, 3, 2, 8), (2, 1, 8)],
    ),
    "swiglu": (fast.swiglu, formulas.swiglu, [(5, 9, 24)]),
}


@pytest.fixture(params=[1, 400, fast.CHUNK], autouse=True)
def _at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image at a time, a few, all."""
    monkeypatch.setattr(fast, "CHUNK", request.param)


def values_and_gradients(formula: Callable[..., object], inputs: list[Tensor]) -> list[Tensor]:
    """Return what comes out, and the gradients of a sum in which each number has its own weight."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    found = formula(*leaves)
    outputs = [found] if isinstance(found, Tensor) else list(found)  # type: ignore[call-overload]
    weights = [torch.randn(value.shape, generator=torch.Generator().manual_seed(7)) for value in outputs]
    torch.stack([(value * weight).sum() for value, weight in zip(outputs, weights, strict=True)]).sum().backward()
    gradients = [value.grad for value in leaves if value.grad is not None]
    assert len(gradients) == len(leaves)
    return [*(value.detach() for value in outputs), *gradients]


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_formula(case: str) -> None:
    quick, plain, shapes = CASES[case]
    generator = torch.Generator().manual_seed(3)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    for ours, theirs in zip(values_and_gradients(quick, inputs), values_and_gradients(plain, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_in_bfloat16_it_errs_no_more_than_the_formula(case: str) -> None:
    """Against float64: both round, in another order."""
    quick, plain, shapes = CASES[case]
    generator = torch.Generator().manual_seed(3)
    inputs = [torch.randn(shape, generator=generator).bfloat16() for shape in shapes]
    exact = values_and_gradients(plain, [value.double() for value in inputs])
    ours, theirs = values_and_gradients(quick, inputs), values_and_gradients(plain, inputs)
    for found, other, right in zip(ours, theirs, exact, strict=True):
        assert found.dtype == other.dtype == torch.bfloat16
        error, usual = ((value.double() - right).abs().mean().item() for value in (found, other))
        assert error <= 1.5 * usual + 1e-6


def test_a_normalized_float32_stays_float32_with_bfloat16_gains() -> None:
    """As under autocast, where the residual stream is float32 and the modulation bfloat16."""
    x, gain, shift = torch.randn(2, 3, 8), torch.randn(2, 1, 8).bfloat16(), torch.randn(2, 1, 8).bfloat16()
    torch.testing.assert_close(fast.rms_norm(x, gain, shift), formulas.rms_norm(x, gain, shift))
    found = values_and_gradients(fast.rms_norm, [x, gain, shift])
    assert [value.dtype for value in found] == [torch.float32, torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("case", CASES)
def test_there_are_no_second_derivatives(case: str) -> None:
    """And nobody gets wrong ones."""
    quick, _, shapes = CASES[case]
    leaves = [torch.randn(shape, requires_grad=True) for shape in shapes]
    found = quick(*leaves)
    output = found if isinstance(found, Tensor) else found[0]  # type: ignore[index]
    (slope,) = torch.autograd.grad(output.square().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_a_simulated_step_is_as_long_for_any_batch() -> None:
    """Tensors without values are processed in one chunk, so predicting a batch of any size is fast."""
    with FakeTensorMode():
        x = torch.empty(10**9, 9, 16, requires_grad=True)
        gain = torch.empty(1, 1, 16)
        fast.rms_norm(x, gain, gain).sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape


def test_a_network_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and every gradient, through blocks, a time an image and one for all."""
    torch.manual_seed(0)
    network = JitSettings(image_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=2).build()
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.1)
    z, t = torch.randn(5, 3, 16, 16), torch.rand(5)

    def run(times: Tensor) -> list[Tensor]:
        network.zero_grad()
        raw = network(z, times)
        raw.square().mean().backward()
        return [raw.detach(), *(value.grad for value in network.parameters() if value.grad is not None)]

    found = [run(t), run(t[:1].expand(5))]
    for name in HEADS:
        monkeypatch.setattr(blocks, name, getattr(formulas, name))
    for ours, theirs in zip(found, [run(t), run(t[:1].expand(5))], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
