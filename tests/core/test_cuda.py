"""What holds on a CPU holds on a GPU, and a GPU is not kept waiting."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from jitkit.assembly import assemble
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import find_model, load_pipeline, open_model
from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.discovery import create_plugin_manager
from jitkit.errors import Stopped
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.determinism import deterministic, has_deterministic_products
from jitkit.execution.runtime_network import RuntimeNetwork, prepare_network
from jitkit.pipeline import Pipeline
from jitkit.training.batches import draw_batch
from jitkit.training.state import State
from tests.tiny import resolved
from tests.training_lab import Lab, StopAt, digest, metrics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine"),
    pytest.mark.filterwarnings("default"),  # compilers warn of much
]
CPU = torch.device("cpu")
OBJECTIVES = ("use='flow'", "use='codeword'", "use='codeword',context='token'", "use='bitwise'")
NUM_IMAGES = 10  # of which 0.45 are shown their own estimate: 4 or 5


@pytest.fixture
def gpu() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    """Forget what was compiled for networks that are gone: there is a limit to how many of them a process may know."""
    yield
    torch._dynamo.reset()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    return Lab(tmp_path)


@contextmanager
def nothing_waits() -> Iterator[None]:
    """Raise RuntimeError for whatever waits for the GPU."""
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, that it does not see all
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def trained_a_little(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with weights of which none is zero, the same ones on each device."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in pipeline.network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return pipeline


def windows(capacity: int) -> Windows:
    tokens = torch.randint(0, 256, (capacity * 40,), generator=torch.Generator().manual_seed(1))
    return Windows(TokenStream("train", tokens.numpy().astype("<u2"), 256, True, 1, len(tokens)), capacity)


class Step:
    """The computation of a training step."""

    def __init__(self, device: torch.device, *settings: str, bf16: bool = False, compiled: bool = False) -> None:
        wide = ("backbone.embed_dim=64", "backbone.depth=2", "objective.self_conditioning=0.45")
        components = resolved(*wide, *settings)
        self.train = components.manifest.train
        self.pipeline = trained_a_little(assemble(components, device=device))
        self.windows, self.device = windows(self.pipeline.codec.capacity), device
        self.state = State.new(self.pipeline.network, self.train, self.pipeline.denoiser.schedule)
        self.notes: list[str] = []
        self.network, self.execution = prepare_network(
            self.pipeline.network.train(),
            ExecutionConfig(device, bf16, compiled),
            lambda run: self.pass_by(0, run),
            self.notes.append,
        )

    def pass_by(self, step: int, network: nn.Module) -> Tensor:
        """Return the loss; add its gradient to the parameters."""
        denoiser = self.pipeline.with_network(network).denoiser
        batch = draw_batch(
            step,
            seed=0,
            batch_size=NUM_IMAGES,
            windows=self.windows,
            denoiser=denoiser,
            device=self.device,
        )
        loss = diffusion_loss(denoiser, batch.noised, condition=batch.condition).mean()
        with deterministic(self.device):
            loss.backward()
        return loss.detach()

    def __call__(self, step: int) -> Tensor:
        self.state.optimizer.zero_grad()
        loss = self.pass_by(step, self.network)
        nn.utils.clip_grad_norm_(self.pipeline.network.parameters(), 1.0)
        self.state.advance(1e-3)
        return loss


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("settings", [(), ("train.optimizer=muon", "train.recompute=true")])
def test_steps_equal_those_of_a_cpu_except_for_rounding(
    gpu: torch.device, objective: str, settings: tuple[str, ...]
) -> None:
    here, there = (
        Step(device, f"objective={{{objective},known=0.5,self_conditioning=0.45}}", *settings) for device in (CPU, gpu)
    )
    ours, theirs = (torch.stack([step(number).cpu() for number in range(4)]) for step in (here, there))
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=1e-4)


def test_attention_and_matrix_products_are_deterministic(gpu: torch.device) -> None:
    """The same step gives the same gradient in bfloat16, where torch uses its flash kernel."""
    assert has_deterministic_products(gpu)
    found = []
    for _ in range(3):
        step = Step(gpu, bf16=True)
        step(0), step(1)
        found.append([value.clone() for value in step.pipeline.network.parameters()])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        ("train.precision=fp32", "train.compile=off"),
        ("train.precision=bf16", "train.compile=off", "train.optimizer=muon", "objective.context=token"),
        ("train.precision=bf16", "train.compile=off", "schedule={use='adaptive',memory=5}", "train.accumulate=2"),
        ("train.precision=bf16", "train.compile=on"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(lab: Lab, gpu: torch.device, settings: tuple[str, ...]) -> None:
    short = ("train.max_steps=9", "objective.use=codeword")
    whole = lab.train("whole", *short, *settings, device=gpu).folder
    with pytest.raises(Stopped):
        lab.train("parts", *short, *settings, device=gpu, plugins=(StopAt(4),))
    parts = lab.train("parts", *short, *settings, device=gpu, resume="auto").folder
    last = max(whole.glob("checkpoint_epoch_*.pth")).name
    assert load_checkpoint(whole / last).step == 9
    assert metrics(whole) == metrics(parts)
    assert digest(whole / last) == digest(parts / last)
    output = lab.output()
    assert "does not work" not in output
    assert "warning" not in output


def test_a_resumed_distillation_equals_an_uninterrupted_one(lab: Lab, gpu: torch.device) -> None:
    model = lab.train("teacher", "train.max_steps=3", device=gpu).folder / "best_model.pth"
    short = ("train.max_steps=9", "teacher.steps=4", "train.precision=bf16")
    whole = lab.train("whole", *short, device=gpu, initial=model, teacher=model).folder
    with pytest.raises(Stopped):
        lab.train("parts", *short, device=gpu, initial=model, teacher=model, plugins=(StopAt(4),))
    parts = lab.train("parts", *short, device=gpu, resume="auto").folder
    last = max(whole.glob("checkpoint_epoch_*.pth")).name
    assert metrics(whole) == metrics(parts)
    assert digest(whole / last) == digest(parts / last)


def test_compiled_steps_equal_eager_ones_except_for_rounding_and_are_compiled_once(gpu: torch.device) -> None:
    plain, compiled = (Step(gpu, bf16=True, compiled=compiled) for compiled in (False, True))
    assert not compiled.notes
    assert compiled.execution.compiled
    torch._dynamo.utils.counters.clear()
    losses = [(plain(number).item(), compiled(number).item()) for number in range(8)]
    # the trial has met both: with and without a gradient
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=3e-2)


@pytest.mark.parametrize(
    ("settings", "compiled"),
    [
        ((), False),
        (("objective.use=bitwise",), False),
        (("objective.use=codeword", "train.optimizer=muon"), False),
        (("objective.use=codeword", "objective.context=token"), False),
        (("objective.use=codeword", "train.optimizer=muon"), True),
    ],
)
def test_a_step_does_not_wait_for_the_gpu(gpu: torch.device, settings: tuple[str, ...], compiled: bool) -> None:
    """Except for reading loss and gradient norm, which is not part of `Step`."""
    step = Step(gpu, *settings, bf16=True, compiled=compiled)
    for number in range(3):
        step(number)
    with nothing_waits():
        step(3)


@pytest.mark.parametrize("sampler", ["euler", "heun", "sde", "ddim", "dpm"])
def test_a_sampler_does_not_wait_for_the_gpu(gpu: torch.device, sampler: str) -> None:
    pipeline = trained_a_little(assemble(resolved(f"sampler={{use='{sampler}',steps=4}}"), device=gpu))
    network = RuntimeNetwork(pipeline.network.eval(), ExecutionConfig(gpu, bf16=True))
    denoiser = pipeline.with_network(network).denoiser
    size = pipeline.codec.image_size
    z, grid = torch.randn(2, 3, size, size, device=gpu), denoiser.schedule.grid(4)
    with torch.inference_mode():
        trajectories = [pipeline.sampler.sample(denoiser, z, grid, fresh_noise=lambda: torch.zeros_like(z))]
        with nothing_waits():
            trajectories.append(pipeline.sampler.sample(denoiser, z, grid, fresh_noise=lambda: torch.zeros_like(z)))
    assert torch.equal(*trajectories)


def test_a_seed_gives_the_same_text_as_on_a_cpu(gpu: torch.device) -> None:
    """In float32, except for a few tokens that depend on rounding."""
    manager = create_plugin_manager()
    path, texts = find_model("jit-nano"), []
    for device in (CPU, gpu):
        pipeline = load_pipeline(path, device, manager=manager, overrides=["train.precision=fp32"])
        made = pipeline.generate([1, 2, 3], steps=16)
        prompted = pipeline.generate([4], steps=16, known=pipeline.prefix("It was "))
        assert prompted[0].text.startswith("It was ")
        texts.append(torch.stack([each.tokens for each in (*made, *prompted)]))
    assert (texts[0] == texts[1]).float().mean() > 0.9


def test_benchmarks_run_on_a_gpu(lab: Lab, gpu: torch.device) -> None:
    run = lab.train("run", "train.max_steps=4", "objective.use=codeword", device=gpu).folder
    here, there = (
        evaluate_checkpoint(
            open_model(run / "best_model.pth", create_plugin_manager()), device=device, scope=Scope(limit=3)
        )
        for device in (CPU, gpu)
    )
    assert here["validation"]["loss"] == pytest.approx(there["validation"]["loss"], rel=1e-3)
    assert here.keys() == there.keys()
    json.dumps(there)


def test_a_model_trained_on_a_gpu_runs_on_a_cpu(lab: Lab, gpu: torch.device) -> None:
    run = lab.train("run", "train.max_steps=3", device=gpu).folder
    pipeline = load_pipeline(run / "best_model.pth", CPU).prepared(lambda note: None)
    assert len(pipeline.generate([0])) == 1
    again = lab.train("run", "train.max_steps=5", resume="auto")
    assert again.step == 5
    assert "cuda" in lab.output()  # a warning that the rest will differ in rounding
