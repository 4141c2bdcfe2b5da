"""Apple's GPU, MPS, on machines without one: the choice of a device, computing without float64, and torch's errors.

Nothing here has run on a Mac.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from jitkit.assembly import assemble
from jitkit.codecs.digits import DigitCodebook
from jitkit.diffusion.noising import Draws, noised_images
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.errors import InternalError, ResourceError, as_jitkit_error
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.device import preferred_device, simulated_device
from jitkit.execution.precision import widest_float
from jitkit.manifest.schema import Train
from jitkit.training.clipping import clip_gradients
from jitkit.training.state import State
from tests.tiny import resolved

CPU, MPS = torch.device("cpu"), torch.device("mps")
OBJECTIVES = ("use='flow'", "use='codeword'", "use='codeword',context='token'", "use='bitwise'")


@pytest.mark.parametrize(
    ("rank", "cuda", "mps", "chosen"),
    [
        (None, False, False, "cpu"),
        (None, False, True, "mps"),
        (None, True, True, "cuda"),
        (None, True, False, "cuda"),
        (3, True, False, "cuda:3"),
        (3, False, True, "cpu"),
        (0, False, False, "cpu"),
    ],
)
def test_a_gpu_is_preferred_that_the_processes_can_use(rank: int | None, cuda: bool, mps: bool, chosen: str) -> None:
    assert preferred_device(rank, cuda=cuda, mps=mps) == torch.device(chosen)


def test_what_was_not_measured_on_mps_is_off_unless_the_manifest_names_it() -> None:
    automatic = ExecutionConfig.for_training(Train(max_steps=10**6), MPS, num_steps=10**6, flops=1e20)
    assert (automatic.bf16, automatic.compiled) == (False, False)
    chosen = Train(max_steps=1, precision="bf16", compile="on")
    explicit = ExecutionConfig.for_training(chosen, MPS, num_steps=1, flops=1)
    assert (explicit.bf16, explicit.compiled) == (True, True)


class NoFloat64(TorchDispatchMode):
    """Raises TypeError for every tensor in float64, as torch does on a Mac. Operations are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += 1
        if any(isinstance(value, Tensor) and value.dtype == torch.float64 for value in tree_leaves(result)):
            raise TypeError(f"{func}: MPS does not support float64")
        return result


@pytest.fixture
def no_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[NoFloat64]:
    """Code takes the paths of a device without float64; what runs inside the mode may not use it."""
    for module in ("jitkit.codecs.digits", "jitkit.training.clipping"):
        monkeypatch.setattr(f"{module}.widest_float", lambda device: widest_float(MPS))
    mode = NoFloat64()
    with simulated_device(MPS):
        yield mode
    assert mode.count > 10


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_computes_nothing_in_float64(no_float64: NoFloat64, objective: str, optimizer: str) -> None:
    settings = (f"objective={{{objective},known=0.5,self_conditioning=0.45}}", f"train.optimizer={optimizer}")
    components = resolved(*settings)
    pipeline = assemble(components)
    denoiser, network = pipeline.denoiser, pipeline.network
    state = State.new(network, components.manifest.train, None)
    tokens = torch.zeros(4, denoiser.codec.capacity, dtype=torch.int64)
    draws = Draws.of(4, denoiser.codec, denoiser.schedule, denoiser.objective, torch.Generator())
    with no_float64:
        batch = noised_images(tokens, draws, codec=denoiser.codec, schedule=denoiser.schedule, device=CPU)
        diffusion_loss(denoiser, batch, condition=torch.tensor([1.0, 0, 1, 0])).sum().backward()
        clip_gradients(network.parameters(), 1.0)
        state.advance(0.1)
        assert state.norm().isfinite()


@pytest.mark.parametrize(
    ("sampler", "codec"),
    [
        *((sampler, "use='code',numbers=48") for sampler in ("euler", "heun", "sde", "ddim", "dpm")),
        ("euler", "use='bits'"),
        ("euler", "use='digits',base=3"),
    ],
)
def test_sampling_and_decoding_compute_nothing_in_float64(no_float64: NoFloat64, sampler: str, codec: str) -> None:
    pipeline = assemble(resolved(f"sampler={{use='{sampler}',steps=4}}", f"codec={{{codec}}}"))
    size = pipeline.codec.image_size
    z, grid = torch.randn(2, 3, size, size), pipeline.denoiser.schedule.grid(4)
    with torch.inference_mode(), no_float64:
        end = pipeline.sampler.sample(pipeline.denoiser, z, grid, fresh_noise=lambda: torch.zeros_like(z))
        tokens = pipeline.codec.decode(end + z)
        assert pipeline.codec.decode(pipeline.codec.encode(tokens)).equal(tokens)


def test_digits_decode_without_float64(no_float64: NoFloat64) -> None:
    """Also ids above 2^24, which float32 rounds, and images whose nearest id is not valid."""
    levels = torch.tensor([0, 60, 200, 255], dtype=torch.uint8)
    values = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 2
    codebook, longer = DigitCodebook(levels, 6, 3000), DigitCodebook(levels, 13, 5)
    with no_float64:
        found = codebook.nearest(values)
        assert codebook.nearest_bytes(codebook.words).equal(torch.arange(3000))
        assert longer._ids_of(torch.tensor([[1, *[0] * 11, 3]])).item() == 1 + 3 * 4**12 > 2**24
    exact = (values[:, None] - (codebook.words.double() / 127.5 - 1)).square().sum(2).argmin(1)
    assert found.equal(exact)


def no_kernel() -> Exception:
    """Return what torch raises where an operation has no kernel for a device."""
    library = torch.library.Library("jitkit_test", "FRAGMENT")
    library.define("scan(Tensor x) -> Tensor")
    with pytest.raises(NotImplementedError) as caught:
        torch.ops.jitkit_test.scan(torch.ones(1))
    return caught.value


def test_an_operation_without_a_kernel_is_named() -> None:
    error = as_jitkit_error(no_kernel())
    assert isinstance(error, ResourceError)
    assert error.lines() == [
        "error: --device: found no jitkit_test::scan on CPU; expected a device with this operation."
    ]


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_the_hint_for_mps_names_the_variable() -> None:
    """torch names the device in one way where MPS lacks an operation, and in another where it lacks MPS."""
    with pytest.raises(NotImplementedError) as caught:
        torch.empty(1, device="mps")
    on_a_mac = NotImplementedError(
        "The operator 'aten::_linalg_eigh' is not currently implemented for the MPS device. If you want this op to be "
        "considered for addition please comment on https://github.com/pytorch/pytorch/issues/141287"
    )
    for reported, operation in ((caught.value, "aten::empty.memory_format"), (on_a_mac, "aten::_linalg_eigh")):
        (line,) = as_jitkit_error(reported).lines()
        assert f"--device: found no {operation} on MPS; expected a device with this operation." in line
        assert "PYTORCH_ENABLE_MPS_FALLBACK=1" in line


def test_other_errors_of_this_type_are_bugs() -> None:
    assert isinstance(as_jitkit_error(NotImplementedError("sample")), InternalError)


COMMAND = """
import sys, torch, jitkit.cli
from jitkit import hookimpl
from jitkit.discovery.loader import create_plugin_manager

class Plugin:
    @hookimpl
    def jitkit_cli(self, app):
        app.command()(scan)

def scan():
    torch.library.define("jitkit_test::scan", "(Tensor x) -> Tensor")
    torch.ops.jitkit_test.scan(torch.ones(1))

jitkit.cli.create_plugin_manager = lambda: create_plugin_manager([Plugin()], autoload=False)
sys.argv = ["jitkit", "scan"]
jitkit.cli.main()
"""


@pytest.mark.slow
def test_a_command_ends_with_one_line_about_it() -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND], capture_output=True, text=True, check=False)
    assert done.returncode == 6
    (line,) = done.stderr.splitlines()
    assert line.startswith("jitkit: error: --device: found no jitkit_test::scan on CPU")
