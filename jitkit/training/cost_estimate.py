"""Memory and work of a run, estimated by simulating a step on tensors without memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from jitkit.assembly import Components, new_network
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.errors import ResourceError, counted
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.device import simulated_device
from jitkit.execution.memory_usage import available_memory, resident_memory
from jitkit.execution.runtime_network import RuntimeNetwork, checkpoint_activations
from jitkit.manifest.schema import Manifest
from jitkit.protocols import Codec, Noised
from jitkit.training.optim.optimizer import num_state_bytes
from jitkit.training.peak_memory import PeakMemoryMode

# Freed memory that glibc's heap keeps, as a measured share of activations. It is 0 with MALLOC_MMAP_THRESHOLD_=65536, which costs
# time. With train.recompute, where activations are small, it may be larger than all the rest.
HEAP = 1 / 4
COMPILER = 80 * 10**6  # bytes that torch's compiler keeps after compiling a network of two layers
MARGIN = 10  # if a rough estimate times this fits into free memory, there is no need to simulate a step

T = TypeVar("T")


@dataclass(frozen=True)
class Memory:
    """Bytes that training uses at the peak of a step."""

    program: int  # Python, torch, compiler, vocabulary; 0 on a device with its own memory
    weights: int  # including a teacher, assumed to be as large
    gradients: int
    optimizer: int
    averages: int
    heap: int  # freed memory that the C library keeps
    activations: int  # batch, tensors saved for the backward pass, and temporary ones

    @property
    def total(self) -> int:
        """The sum of all."""
        return self.needed + self.program

    @property
    def needed(self) -> int:
        """The bytes that must still be free: all but `program`."""
        return self.weights + self.gradients + self.optimizer + self.averages + self.heap + self.activations


@dataclass(frozen=True)
class Estimate:
    """Size and cost of a run. A FLOP is one addition or multiplication of a matrix product, including attention.

    Recomputation by `train.recompute` is not counted.
    """

    num_parameters: int
    tokens_per_image: int
    batch_size: int
    num_steps: int
    forward_flops: int  # per image
    training_flops: int  # per image, or per trajectory in distillation; see `passes_per_image`
    memory: Memory
    checkpoint_bytes: int  # weights, averages and optimizer

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step, including padding."""
        return self.batch_size * self.tokens_per_image

    @property
    def run_flops(self) -> int:
        """FLOPs of all steps, without validation."""
        return self.training_flops * self.batch_size * self.num_steps

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        values = asdict(self) | {"tokens_per_step": self.tokens_per_step, "run_flops": self.run_flops}
        values["memory"]["total"] = self.memory.total
        return values


def estimate(components: Components, denoiser: Denoiser, execution: ExecutionConfig, *, num_steps: int) -> Estimate:
    """Return the cost of training `components` for `num_steps`. `denoiser` has its built components.

    The current memory of the process counts as the program, so call this before anything large is allocated.
    """
    train = components.manifest.train
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    forward_flops, peak = simulate(components, denoiser, execution, train.batch_size, train.accumulate)
    memory = _memory(network, components.manifest, execution, peak)
    return Estimate(
        num_parameters=sum(value.numel() for value in network.parameters()),
        tokens_per_image=denoiser.codec.capacity,
        batch_size=train.batch_size,
        num_steps=num_steps,
        forward_flops=forward_flops,
        training_flops=round(forward_flops * passes_per_image(components)),
        memory=memory,
        checkpoint_bytes=_num_bytes(network) + memory.averages + memory.optimizer,
    )


def require_memory(
    components: Components, denoiser: Denoiser, execution: ExecutionConfig, *, available: int | None = None
) -> None:
    """Raise ResourceError if the batch does not fit into the memory of the device. It names the largest that does.

    `available` is the free memory in bytes, by default that of the device. If unknown, nothing is checked. A step that is
    certain to fit is not simulated, because that takes seconds.
    """
    train = components.manifest.train
    available = available_memory(execution.device) if available is None else available
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    if available is None or _rough_bytes(network, components, denoiser.codec) * MARGIN < available:
        return

    def needed(part: int) -> int:
        """Return the bytes of a step with `part` images per part of the batch."""
        parts = min(2, train.accumulate)
        _, peak = simulate(components, denoiser, execution, part * parts, parts)
        return _memory(network, components.manifest, execution, peak).needed

    part = train.batch_size // train.accumulate
    required = needed(part)
    if required <= available:
        return
    minimum = needed(1)
    per_image = max(1, (required - minimum) // max(1, part - 1))
    largest = 1 + (available - minimum) // per_image if minimum <= available else 0
    images = counted(train.batch_size, "image")
    if train.accumulate > 1:
        images += f" in {train.accumulate} parts"
    free = f"{execution.device}, where {available / 2**30:,.1f} GiB are free"
    found = f"{images}, which need {required / 2**30:,.1f} GiB of memory on {free}"
    expected = f"at most {counted(largest, 'image')} a part" if largest else "a smaller network: not one image fits"
    hint = "" if train.recompute else "; train.recompute = true stores fewer activations"
    hint = f"train.accumulate computes a batch in parts{hint}."
    raise ResourceError(found, expected, field="train.batch_size", hint=hint)


def choose_execution(
    components: Components, network: nn.Module, device: torch.device, num_steps: int
) -> ExecutionConfig:
    """Return how a run of `num_steps` is executed on `device`, from a rough estimate of its FLOPs."""
    num_parameters = sum(value.numel() for value in network.parameters())
    step_flops = 2.0 * num_parameters * _num_patches(components) * components.manifest.train.batch_size
    flops = step_flops * passes_per_image(components) * num_steps
    return ExecutionConfig.for_training(components.manifest.train, device, num_steps=num_steps, flops=flops)


def _num_patches(components: Components) -> int:
    return (components.backbone.image_size // components.backbone.patch_size) ** 2


def passes_per_image(components: Components) -> float:
    """Return the cost of an image in forward passes. A backward pass counts as two.

    Denoising takes one of each, plus the extra pass of self-conditioning. Distillation takes one of each per step of the
    student, plus the steps of the teacher, which is assumed to be as large.
    """
    if (teacher := components.manifest.teacher) is not None:
        return 3 * components.sampler.steps + teacher.steps
    return 3 + components.objective.self_conditioning


def _rough_bytes(network: nn.Module, components: Components, codec: Codec) -> int:
    """Return the order of magnitude of a step's bytes: weights, inputs and outputs of matrices, logits."""
    train, num_patches = components.manifest.train, _num_patches(components)
    per_patch = sum(sum(value.shape) for value in network.parameters() if value.ndim == 2)
    logits = codec.capacity * codec.vocab_size
    return 16 * _num_bytes(network) + 16 * train.batch_size * (num_patches * per_patch + logits)


def _memory(network: nn.Module, manifest: Manifest, execution: ExecutionConfig, peak: int) -> Memory:
    train, weights, on_cpu = manifest.train, _num_bytes(network), execution.device.type == "cpu"
    gradients = sum(value.nbytes for value in network.parameters() if value.requires_grad)
    return Memory(
        program=resident_memory() + COMPILER * execution.compiled if on_cpu else 0,
        weights=weights * (1 if manifest.teacher is None else 2),
        gradients=gradients,
        optimizer=num_state_bytes(network, train),
        averages=len(train.ema) * weights,
        heap=round(HEAP * max(0, peak - gradients)) if on_cpu else 0,
        activations=max(0, peak - gradients),
    )


def _num_bytes(network: nn.Module) -> int:
    return sum(value.nbytes for value in network.state_dict().values())


def simulate(
    components: Components, denoiser: Denoiser, execution: ExecutionConfig, batch_size: int, parts: int = 1
) -> tuple[int, int]:
    """Return the FLOPs of an image's forward pass, and the peak bytes of a step of `batch_size` images in `parts`.

    The peak counts gradients, the batch, tensors saved for the backward pass, and temporary ones.
    """
    with simulated(components, denoiser, execution) as denoiser:
        peak = with_loss(denoiser, lambda loss: _peak(denoiser, loss, batch_size, parts))
        return image_flops(denoiser), peak


@contextmanager
def simulated(
    components: Components,
    denoiser: Denoiser,
    execution: ExecutionConfig,
    *,
    prepare: Callable[[nn.Module], None] | None = None,
) -> Iterator[Denoiser]:
    """Yield the denoiser with a network whose tensors have no memory, after `prepare` has changed it.

    Inside the block all tensors are without memory. A compiled network is assumed to save what a CPU saves, where
    operations between matrix products are recomputed in the backward pass.
    """
    device = torch.device("cpu") if execution.compiled else execution.device
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    codec = copy.deepcopy(denoiser.codec)  # it caches copies per device, and copies made here have no values
    with FakeTensorMode(allow_non_fake_inputs=True), simulated_device(execution.device):
        network = network.to_empty(device=device)
        if execution.recompute:
            checkpoint_activations(network)
        if prepare is not None:
            prepare(network)
        runtime = RuntimeNetwork(network, ExecutionConfig(device, execution.bf16))
        yield replace(denoiser, network=runtime, codec=codec)


def with_loss(denoiser: Denoiser, step: Callable[[Callable[[Noised], Tensor]], T]) -> T:
    """Return the result of a simulated step, which gets the loss as a function of a batch.

    If the loss needs values, which simulated tensors do not have, a squared error replaces it.
    """
    try:
        return step(lambda images: diffusion_loss(denoiser, images, condition=None).sum())
    except (DataDependentOutputException, DynamicOutputShapeException):
        denoiser.network.zero_grad(set_to_none=True)
        return step(lambda images: denoiser.network(images.z, images.t, known=images.known).square().sum())


def image_flops(denoiser: Denoiser) -> int:
    """Return the FLOPs of a simulated forward pass of one image."""
    with FlopCounterMode(display=False) as counter:
        image = simulated_batch(denoiser, 1)
        assert isinstance(denoiser.network, RuntimeNetwork)
        denoiser.network.network(image.z, image.t)
    return int(counter.get_total_flops())


def _peak(denoiser: Denoiser, loss: Callable[[Noised], Tensor], batch_size: int, parts: int) -> int:
    """Return the peak bytes. From the second part on, the gradients of the first exist."""
    with PeakMemoryMode() as memory:
        part = simulated_batch(denoiser, batch_size).rows(slice(batch_size // parts))
        for _ in range(min(2, parts)):
            loss(part).backward()  # type: ignore[no-untyped-call]
    return int(memory.peak)


def simulated_batch(denoiser: Denoiser, num: int) -> Noised:
    """Return a batch of the right shapes, without values."""
    codec, device = denoiser.codec, next(denoiser.network.parameters()).device
    image = (num, 3, codec.image_size, codec.image_size)
    known = torch.zeros(num, 1, *image[2:], device=device) if denoiser.objective.known else None
    x, noise, z = (torch.zeros(image, device=device) for _ in range(3))
    tokens = torch.zeros(num, codec.capacity, dtype=torch.int64, device=device)
    return Noised(tokens, x, noise, torch.zeros(num, device=device), z, known)
