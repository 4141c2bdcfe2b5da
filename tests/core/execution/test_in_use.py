"""Evaluation and generation run a network as training does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from jitkit.assembly import assemble
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery import create_plugin_manager
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.precision import has_fast_bf16
from jitkit.pipeline import Pipeline
from jitkit.training.peak_memory import PeakMemoryMode
from tests.tiny import checkpoint_of, resolved

CPU = torch.device("cpu")


@pytest.fixture
def loaded() -> Callable[..., Pipeline]:
    """Return a function that loads a checkpoint of the tiny model with overrides."""
    pipeline = assemble(resolved())
    torch.manual_seed(0)
    for parameter in pipeline.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)

    def load(*overrides: str, note: Callable[[str], None] = print, **recorded: str) -> Pipeline:
        checkpoint = replace(checkpoint_of(pipeline), execution=recorded)
        return OpenedModel(Path("tiny.pth"), checkpoint, create_plugin_manager()).pipeline(
            overrides=overrides, note=note
        )

    return load


def images(num: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num, 3, 16, 16, generator=generator), torch.rand(num, generator=generator)


@torch.inference_mode()
def test_inference_has_the_precision_of_training(loaded: Callable[..., Pipeline]) -> None:
    z, t = images()
    plain, half = loaded("train.precision=fp32"), loaded("train.precision=bf16")
    assert torch.equal(plain.denoiser.network(z, t), plain.network(z, t))
    with torch.autocast("cpu", torch.bfloat16):
        expected = half.network(z, t)
    for _ in range(2):  # the first pass looks which weights are multiplied
        assert torch.equal(half.denoiser.network(z, t), expected.float())
    assert not torch.equal(half.denoiser.network(z, t), plain.denoiser.network(z, t))
    assert [pipeline.execution.precision for pipeline in (plain, half)] == ["fp32", "bf16"]


def test_auto_is_not_decided_again_on_the_same_device(loaded: Callable[..., Pipeline]) -> None:
    here = ExecutionConfig(CPU).conditions()["device"]
    for precision in ("fp32", "bf16"):
        assert loaded(device=here, precision=precision).execution.precision == precision
        assert loaded(device="another", precision=precision).execution.bf16 is has_fast_bf16(CPU)
        assert loaded("train.precision=fp32", device=here, precision=precision).execution.precision == "fp32"


def test_the_runtime_does_not_change_names_of_weights(loaded: Callable[..., Pipeline]) -> None:
    """The network is in evaluation mode."""
    pipeline = loaded("train.precision=bf16")
    assert pipeline.network.state_dict().keys() == assemble(resolved()).network.state_dict().keys()
    assert not pipeline.denoiser.network.training
    assert not pipeline.network.training
    assert assemble(resolved()).execution == ExecutionConfig(CPU)


def test_gradients_pass_through_the_runtime_network(loaded: Callable[..., Pipeline]) -> None:
    """To the image, as the ODE likelihood needs them. They are close to those of float32."""
    z, t = images()
    found = []
    for precision in ("fp32", "bf16", "bf16"):
        denoiser, place = loaded(f"train.precision={precision}").denoiser, z.clone().requires_grad_()
        denoiser(z, t)  # kept copies are in use from the second pass on
        found.append(torch.autograd.grad(denoiser(place, t).square().sum(), place)[0])
    torch.testing.assert_close(found[1], found[0], rtol=0.1, atol=0.05 * found[0].abs().max().item())
    assert torch.equal(found[1], found[2])


def test_a_missing_compiler_is_noted_once(loaded: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network runs without it. Without `compile = "on"`, no compiler is needed."""
    monkeypatch.setenv("CXX", "/nowhere/c++")
    torch._dynamo.reset()
    notes: list[str] = []
    # torch's own way: monkeypatch would leave these keys hidden from every later test
    with torch._inductor.config.patch({"cpp.cxx": ("/nowhere/c++",), "force_disable_caches": True}):
        pipeline = loaded("train.compile=on", note=notes.append)
    assert "compiling" in notes[0]
    assert "torch.compile does not work here" in notes[1]
    assert "runs without it" in notes[1]
    assert not pipeline.execution.compiled
    z, t = images()
    assert torch.equal(pipeline.denoiser.network(z, t), loaded().denoiser.network(z, t))
    assert len(notes) == 2


@pytest.mark.slow
def test_compiled_output_equals_eager_output_except_for_rounding(loaded: Callable[..., Pipeline]) -> None:
    """For any number of images. The first sampling step, which has no estimate yet, uses the same compiled code."""
    compiled, plain = (loaded(f"train.compile={compile}", "train.precision=fp32").denoiser for compile in ("on", "off"))
    with torch.inference_mode():
        for num in (2, 3, 5, 8):
            torch.testing.assert_close(compiled(*images(num)), plain(*images(num)), rtol=1e-4, atol=1e-5)
        programs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        z, t = images(8)
        torch.testing.assert_close(compiled(z, t, z / 2), plain(z, t, z / 2), rtol=1e-4, atol=1e-5)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == programs


def test_batches_of_images_fit_into_memory(loaded: Callable[..., Pipeline]) -> None:
    """No forward pass exceeds the bound. The result is at least one image."""
    for shape in (
        (),
        ("backbone.image_size=32", "backbone.patch_size=2"),
        ("objective.use=codeword", "objective.context=codeword"),
    ):
        pipeline = assemble(resolved(*shape))
        assert pipeline.images_at_once(16, available=10**12) == 16
        assert pipeline.images_at_once(16, available=1) == 1
        available = 40_000_000
        num = pipeline.images_at_once(10_000, available=available)
        size = pipeline.codec.image_size
        z, t = torch.randn(num, 3, size, size), torch.rand(num)
        with torch.inference_mode(), PeakMemoryMode() as memory:
            pipeline.denoiser(z, t)
        assert memory.peak <= available
        assert num > 4


@pytest.mark.parametrize(
    "settings", [("guidance.known=2.0",), ("guidance.learned=3.0", "guidance.self_conditioning=2.0")]
)
def test_guidance_computes_a_shared_time_once(settings: tuple[str, ...]) -> None:
    """By known pixels, which doubles the batch, and by self-conditioning, which has a scale input."""
    pipeline, shapes = assemble(resolved(*settings)), []
    pipeline.network.get_submodule("time_mlp").register_forward_hook(lambda *call: shapes.append(call[2].shape[0]))
    pipeline.generate(range(3), known=pipeline.prefix("ab") if "known" in settings[0] else None, steps=2)
    assert set(shapes) == {1}
