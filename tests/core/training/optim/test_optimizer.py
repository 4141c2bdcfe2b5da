"""Optimizers against plain references, their state against itself, the learning rate against its shape."""

from __future__ import annotations

import copy
import io
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from jitkit.errors import InputError
from jitkit.manifest.schema import Train
from jitkit.training.lr_schedule import learning_rate
from jitkit.training.optim.adamw import AdamW
from jitkit.training.optim.muon import orthogonal, orthogonalize
from jitkit.training.optim.optimizer import build_optimizer


def network() -> nn.Module:
    """An embedding, a stack of two linear layers with a norm between them, and a head."""
    torch.manual_seed(0)
    stack = nn.ModuleList([nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6, bias=False)])
    return nn.ModuleDict({"embedding": nn.Linear(4, 6), "stack": stack, "head": nn.Linear(6, 2)})


def set_gradients(module: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for value in module.parameters():
        value.grad = torch.randn(value.shape, generator=generator)


def train(**values: object) -> Train:
    return Train.model_validate({"max_steps": 10, **values})


def test_adamw_equals_the_formula() -> None:
    """Loshchilov & Hutter 2019, algorithm 2; decay on matrices, none on biases and norms."""
    module = network()
    optimizer = build_optimizer(module, train(weight_decay=0.1, betas=(0.8, 0.9)))
    expected = {name: value.detach().double() for name, value in module.named_parameters()}
    first = {name: torch.zeros_like(value) for name, value in expected.items()}
    second = copy.deepcopy(first)
    for step, lr in enumerate((0.1, 0.03, 0.2), start=1):
        set_gradients(module, step)
        for name, value in module.named_parameters():
            assert isinstance(value.grad, Tensor)
            gradient = value.grad.double()
            first[name] = 0.8 * first[name] + 0.2 * gradient
            second[name] = 0.9 * second[name] + 0.1 * gradient**2
            ratio = first[name] / (1 - 0.8**step) / ((second[name] / (1 - 0.9**step)).sqrt() + 1e-8)
            decay = 0.1 if value.ndim == 2 else 0.0
            expected[name] = expected[name] * (1 - lr * decay) - lr * ratio
        optimizer.step(lr)
    for name, value in module.named_parameters():
        torch.testing.assert_close(value.detach().double(), expected[name], atol=1e-5, rtol=1e-5)


def test_muon_updates_the_matrices_of_the_stack_and_adamw_the_rest() -> None:
    """The first Muon step is orthogonal and as large as AdamW's. Other parameters are updated as by AdamW alone."""
    muon, adamw = network(), network()
    before = {name: value.detach().clone() for name, value in muon.named_parameters()}
    for module, name in ((muon, "muon"), (adamw, "adamw")):
        set_gradients(module, 1)
        build_optimizer(module, train(optimizer=name)).step(0.01)
    others = dict(adamw.named_parameters())
    for name, value in muon.named_parameters():
        if name in {"stack.0.weight", "stack.2.weight"}:
            update = (before[name] - value.detach()) / 0.01
            assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)  # 0.2 by arXiv 2502.16982
            values = torch.linalg.svdvals(update)
            assert values.max() / values.min() < 2.5  # five Newton-Schulz steps leave singular values in 0.7 .. 1.2
        else:
            assert torch.equal(value, others[name]), name


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (96, 24)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("rank", [24, 3], ids=["full", "low"])
def test_muon_equals_its_iteration_in_float64(shape: tuple[int, int], rank: int) -> None:
    """With and without the Gram matrix, also if most singular values are near 0."""
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.randn(2, size, rank, generator=generator) for size in shape)
    matrices = left @ right.mT + 1e-3 * torch.randn(2, *shape, generator=generator)
    wide = matrices.double() if shape[0] <= shape[1] else matrices.double().mT
    exact = orthogonalize(wide / torch.linalg.matrix_norm(wide, keepdim=True))
    exact = exact if shape[0] <= shape[1] else exact.mT
    assert (orthogonal(matrices) - exact).norm() < 3e-4 * exact.norm()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_restored_optimizer_continues_bit_for_bit(name: str) -> None:
    """Saved and loaded at step 0 and in the middle of a run."""
    settings = train(optimizer=name, weight_decay=0.1)
    for stop in (0, 3):
        whole, parts = network(), network()
        straight, first = build_optimizer(whole, settings), build_optimizer(parts, settings)
        for step in range(6):
            if step == stop:
                file = io.BytesIO()
                torch.save((parts.state_dict(), first.state_dict()), file)
                file.seek(0)
                weights, state = torch.load(file, weights_only=True)
                parts = network()
                parts.load_state_dict(weights)
                first = build_optimizer(parts, settings)
                first.load_state_dict(state)
            for module, optimizer in ((whole, straight), (parts, first)):
                set_gradients(module, step)
                optimizer.step(0.01 * (step + 1))
        for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
            assert torch.equal(one, other)


def test_a_loaded_state_is_a_copy() -> None:
    module = network()
    optimizer = build_optimizer(module, train())
    set_gradients(module, 0)
    optimizer.step(0.1)
    state = optimizer.state_dict()
    other = build_optimizer(network_with_gradients := network(), train())
    other.load_state_dict(state)
    kept = state["head.weight"]["exp_avg"].clone()
    set_gradients(network_with_gradients, 1)
    other.step(0.1)
    assert torch.equal(state["head.weight"]["exp_avg"], kept)


def test_state_of_another_network_is_refused() -> None:
    module = network()
    optimizer = build_optimizer(module, train())
    set_gradients(module, 0)
    optimizer.step(0.1)
    state = optimizer.state_dict()
    reshaped = {**state, "head.bias": {**state["head.bias"], "exp_avg": torch.zeros(3)}}
    renamed = {name.replace("head", "tail"): entry for name, entry in state.items()}
    for wrong, message in (
        (reshaped, r"a\.pth: optimizer_state_dict\.head\.bias: .*expected exp_avg of shape \(2,\)"),
        (renamed, r"optimizer_state_dict\.head\.bias: found no state of this parameter"),
        ({**state, "head.bias": {"step": torch.zeros(())}}, "expected the state of adamw"),
        ({**state, "more": {}}, "found state of an unknown parameter"),
    ):
        with pytest.raises(InputError, match=message):
            build_optimizer(network(), train()).load_state_dict(wrong, file="a.pth")
    with pytest.raises(InputError, match="the state of muon"):
        build_optimizer(network(), train(optimizer="muon")).load_state_dict(state)


def rates(num_steps: int, steps_per_epoch: int = 10, **values: object) -> list[float]:
    settings = train(lr=2.0, **values)
    return [
        learning_rate(step, settings, num_steps=num_steps, steps_per_epoch=steps_per_epoch) for step in range(num_steps)
    ]


def test_learning_rate_rises_linearly_then_stays() -> None:
    assert rates(8, warmup_steps=4) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert rates(8, warmup_epochs=0.4) == rates(8, warmup_steps=4)
    assert rates(3) == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_learning_rate_falls_at_the_end_only(decay: str) -> None:
    values = rates(100, warmup_steps=10, decay=decay, decay_fraction=0.4)
    assert values[9:61] == [2.0] * 52
    assert all(later < earlier for earlier, later in pairwise(values[60:]))
    assert values[80] == pytest.approx(1.0)  # half way down, for both shapes
    assert 0 < values[-1] < (0.06 if decay == "linear" else 0.004)


def test_a_cosine_over_the_whole_run_starts_after_the_warm_up() -> None:
    values = rates(50, warmup_steps=10, decay="cosine", decay_fraction=1.0)
    expected = [1 + math.cos(math.pi * step / 40) for step in range(40)]
    assert values[10:] == pytest.approx(expected)
    assert max(values) == 2.0


def test_a_run_shorter_than_its_warm_up_only_warms_up() -> None:
    values = rates(5, warmup_steps=10, decay="linear", decay_fraction=1.0)
    assert values == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


class Products(TorchDispatchMode):
    """Records the dtypes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "mm" in func.name():
            self.dtypes.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("bf16", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_muon_computes_in_the_precision_of_the_run(bf16: bool, dtype: torch.dtype) -> None:
    """Its own timing at each start made equal runs differ now and then."""
    module = network()
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    with Products() as products:
        build_optimizer(module, train(optimizer="muon"), bf16=bf16).step(0.01)
    assert products.dtypes == {dtype}


@pytest.mark.parametrize("size", [37, 1000])
def test_adamw_rounds_parts_like_the_whole(size: int) -> None:
    """Of any cut, so also of the shards of any number of processes."""
    generator = torch.Generator().manual_seed(size)
    value, *gradients = (torch.randn(size, generator=generator) for _ in range(6))
    cuts = [*range(0, size, 5), size]
    value *= 1e-3  # updates of this size show how they are rounded
    whole, parts = value.clone(), [value[start:end].clone() for start, end in pairwise(cuts)]
    of_whole, of_parts = (AdamW([(members, 0.0)], betas=(0.9, 0.95)) for members in ([whole], parts))
    for gradient in gradients:
        whole.grad = gradient
        for part, (start, end) in zip(parts, pairwise(cuts), strict=True):
            part.grad = gradient[start:end]
        of_whole.step(1e-3)
        of_parts.step(1e-3)
    assert torch.equal(torch.cat(parts), whole)
