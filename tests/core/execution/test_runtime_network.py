"""Optimized ways to run a network give the same values, gradients and runs as the plain one, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from jitkit.checkpoints.format import load_checkpoint
from jitkit.errors import ManifestError, ResourceError, ran_out_of_memory
from jitkit.execution.bf16_weights import Bf16WeightCache
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.memory_usage import available_memory
from jitkit.execution.precision import has_fast_bf16
from jitkit.execution.runtime_network import RuntimeNetwork, checkpoint_activations, prepare_blocks, prepare_network
from jitkit.manifest.schema import Train
from jitkit.parallel.sharding import blocks_of
from jitkit.protocols import NetworkInputs
from jitkit.training.optim.optimizer import build_optimizer
from jitkit_plugins.backbones.jit import JitSettings
from tests.tiny import resolved
from tests.training_lab import Lab, digest

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = resolved("backbone.depth=2").backbone.build(NetworkInputs(x_prev=True, known=True))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    return network


def test_a_compiler_that_ctrl_c_killed_means_nothing(network: nn.Module) -> None:
    def fail(_: nn.Module) -> None:
        raise RuntimeError("the compiler was killed")

    notes: list[str] = []
    execution = ExecutionConfig(CPU, compiled=True)
    _, used = prepare_network(network, execution, fail, notes.append, interrupted=lambda: True)
    assert used.compiled
    assert not [text for text in notes if "does not work" in text]
    _, used = prepare_network(network, execution, fail, notes.append)
    assert not used.compiled
    assert "does not work here (RuntimeError: the compiler was killed)" in notes[-1]


def inputs(num: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num, 3, 16, 16, generator=generator), torch.rand(num, generator=generator)


def gradients(network: nn.Module, run: Callable[..., Tensor]) -> dict[str, Tensor]:
    network.zero_grad()
    run(*inputs()).square().mean().backward()
    return {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}


def under_autocast(network: nn.Module) -> Callable[..., Tensor]:
    def run(z: Tensor, t: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            raw: Tensor = network(z, t)
        return raw.float()

    return run


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_cached_weights_equal_those_of_autocast(network: nn.Module) -> None:
    """Values and gradients, also after changes of the weights in place and by a fused optimizer."""
    runtime = RuntimeNetwork(network, ExecutionConfig(CPU, bf16=True))
    optimizer = build_optimizer(network, Train(max_steps=1))  # fused
    for _ in range(3):
        assert torch.equal(runtime(*inputs()), under_autocast(network)(*inputs()))
        assert same(gradients(network, runtime), gradients(network, under_autocast(network)))
        optimizer.step(0.1)
    with torch.inference_mode():
        raw = runtime(*inputs())
    with torch.no_grad():
        network.get_parameter("blocks.0.modulation.weight").mul_(2)
    assert not torch.equal(runtime(*inputs()), raw)
    assert torch.equal(runtime(*inputs()), under_autocast(network)(*inputs()))


@pytest.mark.parametrize(("channels", "dtype"), [(3, torch.float32), (5, torch.bfloat16)], ids=["image", "logits"])
def test_images_are_float32_and_logits_keep_their_dtype(channels: int, dtype: torch.dtype) -> None:
    """An image needs enough precision for 256 levels of a color."""
    network = JitSettings(image_size=8, patch_size=4, embed_dim=32, depth=1, num_heads=2).build(channels=channels)
    runtime = RuntimeNetwork(network, ExecutionConfig(CPU, bf16=True))
    z, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    for _ in range(2):  # the first pass looks on
        assert runtime(z, t).dtype == dtype
    assert RuntimeNetwork(network, ExecutionConfig(CPU))(z, t).dtype == torch.float32


def test_gradients_of_several_parts_are_summed_in_float32(network: nn.Module) -> None:
    runtime = RuntimeNetwork(network, ExecutionConfig(CPU, bf16=True))
    for run in (runtime, under_autocast(network)):
        network.zero_grad()
        for _ in range(3):
            run(*inputs()).square().mean().backward()
        found = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
        if run is runtime:
            ours = found
    assert same(ours, found)


def test_copies_are_made_once(network: nn.Module) -> None:
    runtime = RuntimeNetwork(network, ExecutionConfig(CPU, bf16=True))
    runtime(*inputs())
    copies = runtime._bf16_weights
    assert copies is not None
    first = copies.current()["blocks.0.attention.qkv.weight"].data_ptr()
    assert copies.current()["blocks.0.attention.qkv.weight"].data_ptr() == first
    assert "pixel_head.weight" not in copies.current(), "the head computes in float32"
    assert all(value.dtype == torch.bfloat16 for value in copies.current().values())


@pytest.mark.parametrize("bf16", [False, True])
def test_activation_checkpointing_gives_equal_gradients(network: nn.Module, bf16: bool) -> None:
    plain, other = RuntimeNetwork(network, ExecutionConfig(CPU, bf16)), copy.deepcopy(network)
    checkpoint_activations(other)
    runtime = RuntimeNetwork(other, ExecutionConfig(CPU, bf16))
    for _ in range(2):
        assert same(gradients(network, plain), gradients(other, runtime))
    assert other.state_dict().keys() == network.state_dict().keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # compilers warn of much
def test_blocks_are_compiled_below_their_checkpoints(network: nn.Module) -> None:
    """Acceptance row 20: a graph per block, without breaks, also with activation checkpointing."""
    eager, other = RuntimeNetwork(network, ExecutionConfig(CPU)), copy.deepcopy(network)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    execution = ExecutionConfig(CPU, compiled=True, by_block=True, recompute=True)
    runtime, used = prepare_network(other, execution, lambda run: run(*inputs()).sum().backward(), lambda _: None)
    assert used == execution
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    expected = gradients(network, eager)
    for name, gradient in gradients(other, runtime).items():
        assert torch.allclose(gradient, expected[name], rtol=1e-3, atol=1e-6), name
    prepare_blocks(other, execution.uncompiled())
    assert all("checkpoint" in repr(block.forward) for block in blocks_of(other))
    prepare_blocks(other, ExecutionConfig(CPU))
    assert same(gradients(network, eager), gradients(other, RuntimeNetwork(other, ExecutionConfig(CPU))))


def test_activation_checkpointing_stores_less(network: nn.Module) -> None:
    def kept() -> int:
        sizes: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            raw = network(*inputs(16))
        del raw
        return sum(sizes.values())

    before = kept()
    checkpoint_activations(network)
    assert kept() < before / 2


def test_activation_checkpointing_needs_blocks() -> None:
    with pytest.raises(ManifestError, match=r"train\.recompute: found true; expected false"):
        checkpoint_activations(nn.Linear(2, 2))


def test_a_bfloat16_run_resumes_exactly(tmp_path: Path) -> None:
    """Activation checkpointing gives the same run."""
    lab = Lab(tmp_path)
    options = ("train.precision=bf16", "train.accumulate=2")
    lab.train("whole", *options, "train.max_steps=6")
    lab.train("parts", *options, "train.max_steps=3", "train.decay=constant")
    lab.train("recomputed", *options, "train.max_steps=6", "train.recompute=true")
    newest = "checkpoint_epoch_1.pth"
    assert digest(lab.home / "whole" / newest) == digest(lab.home / "recomputed" / newest)
    lab.train("steady", *options, "train.max_steps=6", "train.decay=constant")
    lab.train("parts", *options, "train.max_steps=6", "train.decay=constant", resume="auto")
    assert digest(lab.home / "parts" / newest) == digest(lab.home / "steady" / newest)


@pytest.mark.slow
def test_a_compiled_run_resumes_exactly(tmp_path: Path) -> None:
    """It equals an eager run except for rounding."""
    lab = Lab(tmp_path)
    options = ("train.precision=fp32", "train.decay=constant")
    for name, *more in (("plain", "train.compile=off"), ("whole", "train.compile=on")):
        lab.train(name, *options, *more, "train.max_steps=6")
    for steps in (3, 6):
        torch._dynamo.reset()
        lab.train(
            "parts", *options, "train.compile=on", f"train.max_steps={steps}", resume="auto" if steps > 3 else None
        )
    newest = "checkpoint_epoch_1.pth"
    assert digest(lab.home / "parts" / newest) == digest(lab.home / "whole" / newest)
    plain, whole = (load_checkpoint(lab.home / name / newest).loss for name in ("plain", "whole"))
    assert plain == pytest.approx(whole, rel=1e-4)


def test_auto_precision_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` follows the speed of matrix products, measured once. Explicit precisions are used as given."""
    found = has_fast_bf16(CPU)
    assert has_fast_bf16(CPU) is found
    assert ExecutionConfig.for_training(Train(max_steps=1), CPU, num_steps=1, flops=1).bf16 is found
    assert (
        ExecutionConfig.for_training(Train(max_steps=1, precision="bf16"), CPU, num_steps=1, flops=1).precision
        == "bf16"
    )
    assert (
        ExecutionConfig.for_training(Train(max_steps=1, precision="fp32"), CPU, num_steps=1, flops=1).precision
        == "fp32"
    )


def test_out_of_memory_differs_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    assert ran_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2) @ torch.ones(3)
    assert not ran_out_of_memory(caught.value)
    assert ran_out_of_memory(torch.OutOfMemoryError())
    free = available_memory(CPU)
    assert free is None or 0 <= free < 1 << 50


def test_a_huge_batch_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(
        ResourceError, match=r"train\.batch_size: found .* images, which need .* free; expected at most"
    ):
        lab.train("run", "train.batch_size=1000000000", "train.validation_windows=1")
    assert not list((tmp_path / "run").glob("*.pth"))


def test_converting_gradients_together_equals_one_by_one(network: nn.Module) -> None:
    """The ways of a GPU and of a CPU, with one weight whose copy is unused and which has no gradient."""
    found = []
    for together in (False, True):
        own = copy.deepcopy(network)
        half = Bf16WeightCache(own, {name for name, value in own.named_parameters() if value.ndim == 2})
        if together:
            half._groups = [list(half._masters)]
        *used, unused = half.current()
        for name in used:
            copies = half.current()
            (copies[name].float() * copies[used[0]].float().mean()).square().sum().backward()
        assert dict(own.named_parameters())[unused].grad is None
        found.append({name: value.grad for name, value in own.named_parameters()})
    for name, gradient in found[0].items():
        other = found[1][name]
        assert (gradient is None) == (other is None)
        assert gradient is None or (other is not None and torch.equal(gradient, other)), name


def test_auto_compiles_long_runs() -> None:
    """On a GPU by the number of steps, on a CPU by FLOPs. "on" and "off" are used as given."""
    auto, gpu = Train(max_steps=1), torch.device("cuda")
    assert not ExecutionConfig.for_training(auto, CPU, num_steps=10**6, flops=1e13).compiled
    assert ExecutionConfig.for_training(auto, CPU, num_steps=1, flops=1e14).compiled
    explicit = {"on": True, "off": False}
    for word, compiled in explicit.items():
        train = Train(max_steps=1, compile=word, precision="fp32")
        assert ExecutionConfig.for_training(train, CPU, num_steps=500, flops=1e14).compiled is compiled
    steady = auto.model_copy(update={"precision": "fp32"})
    assert [ExecutionConfig.for_training(steady, gpu, num_steps=num, flops=1e9).compiled for num in (499, 500)] == [
        False,
        True,
    ]
