"""What a run will take, found out on tensors without memory before anything is built: `jitkit train --dry-run`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from jitkit.assembly import Components, new_network
from jitkit.diffusion.denoiser import Denoiser
from jitkit.errors import ResourceError
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.memory import available_memory, resident_memory
from jitkit.manifest.schema import Manifest
from jitkit.protocols import Codec
from jitkit.training.cost.simulation import simulate
from jitkit.training.optim.optimizer import num_state_bytes

# Share of what passes through that glibc's heap keeps beside it, as measured; it is 0 with MALLOC_MMAP_THRESHOLD_=65536,
# which costs time. With train.recompute, where little else is held, it may be more than all the rest.
HEAP = 1 / 4
COMPILER = 80 * 10**6  # bytes that torch's compiler goes on holding, once it has compiled a network of two layers
MARGIN = 10  # by how much a rough count must stay below what is free, for nothing to be looked into


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds at the worst moment of a step."""

    program: int  # what the process holds beside: Python, torch, a compiler, the vocabulary; 0 on a device of its own
    weights: int  # and those of a teacher, taken to be as large
    gradients: int
    optimizer: int
    averages: int
    heap: int  # what the C library keeps of freed memory
    activations: int  # batch, what the forward pass keeps for the backward pass, and what passes through

    @property
    def total(self) -> int:
        """The sum."""
        return self.needed + self.program

    @property
    def needed(self) -> int:
        """What is still to be had."""
        return self.weights + self.gradients + self.optimizer + self.averages + self.heap + self.activations


@dataclass(frozen=True)
class Estimate:
    """What training takes. A FLOP is one addition or one multiplication of a matrix product, attention included.

    What `train.recompute` computes again is not counted: it is no part of the task.
    """

    num_parameters: int
    tokens_per_image: int
    batch_size: int
    num_steps: int
    forward_flops: int  # an image
    training_flops: int  # an image, or a walk beside a teacher's: see `_passes`
    memory: Memory
    checkpoint_bytes: int  # weights, averages and optimizer

    @property
    def tokens_per_step(self) -> int:
        """Tokens that an optimizer step sees, padding included."""
        return self.batch_size * self.tokens_per_image

    @property
    def run_flops(self) -> int:
        """Of all steps, without validation."""
        return self.training_flops * self.batch_size * self.num_steps

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        values = asdict(self) | {"tokens_per_step": self.tokens_per_step, "run_flops": self.run_flops}
        values["memory"]["total"] = self.memory.total
        return values


def estimate(components: Components, denoiser: Denoiser, execution: ExecutionConfig, *, num_steps: int) -> Estimate:
    """Return what it takes to train `components` for `num_steps`, run as `execution` says; `denoiser` has its built parts.

    What the process holds now counts as the program, so it is to be called before anything large is built.
    """
    train = components.manifest.train
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    found = simulate(components, denoiser, execution, train.batch_size, train.accumulate)
    forward_flops = found.forward_flops // train.batch_size
    memory = _memory(network, components.manifest, execution, found.peak)
    return Estimate(
        num_parameters=sum(value.numel() for value in network.parameters()),
        tokens_per_image=denoiser.codec.capacity,
        batch_size=train.batch_size,
        num_steps=num_steps,
        forward_flops=forward_flops,
        training_flops=round(forward_flops * _passes(components)),
        memory=memory,
        checkpoint_bytes=_num_bytes(network) + memory.averages + memory.optimizer,
    )


def require_memory(
    components: Components, denoiser: Denoiser, execution: ExecutionConfig, *, available: int | None = None
) -> None:
    """Raise ResourceError, naming the largest batch that fits, when the manifest's does not fit into the device's memory.

    `available` bytes are looked up where they are not given; where nobody says, nothing is refused. A step that is far
    too small to matter is not simulated, which would take seconds.
    """
    train = components.manifest.train
    available = available_memory(execution.device) if available is None else available
    if available is None:
        return
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    if _roughly(network, components, denoiser.codec) * MARGIN < available:
        return

    def needed(part: int) -> int:
        """Return the bytes of a step whose batch is computed `part` images at a time."""
        parts = min(2, train.accumulate)
        peak = simulate(components, denoiser, execution, part * parts, parts).peak
        return _memory(network, components.manifest, execution, peak).needed

    part = train.batch_size // train.accumulate
    most = needed(part)
    if most <= available:
        return
    least = needed(1)
    each = max(1, (most - least) // max(1, part - 1))
    largest = 1 + (available - least) // each if least <= available else 0
    raise ResourceError(
        f"{train.batch_size} images{f' in {train.accumulate} parts' if train.accumulate > 1 else ''}, which need"
        f" {most / 2**30:,.1f} GiB of memory on {execution.device}, where {available / 2**30:,.1f} GiB are free",
        f"at most {largest} images a part" if largest else "a smaller network: not one image fits",
        field="train.batch_size",
        hint="train.accumulate computes a batch in parts"
        + ("." if train.recompute else "; train.recompute = true keeps less for the gradient."),
    )


def choose_execution(
    components: Components, network: nn.Module, device: torch.device, num_steps: int
) -> ExecutionConfig:
    """Return how a run of `num_steps` is executed on `device`, by a rough count of what there is to do; nothing is simulated."""
    num_parameters = sum(value.numel() for value in network.parameters())
    a_step = 2.0 * num_parameters * _num_patches(components) * components.manifest.train.batch_size
    flops = a_step * _passes(components) * num_steps
    return ExecutionConfig.for_training(components.manifest.train, device, num_steps=num_steps, flops=flops)


def _num_patches(components: Components) -> int:
    return (components.backbone.image_size // components.backbone.patch_size) ** 2


def _passes(components: Components) -> float:
    """Return what an image of a batch takes, in forward passes: backward counts twice.

    To learn from text takes one of each, and the extra pass of self-conditioning; from a teacher, which is taken to be as
    large as its student, one of each a step of the student, and the teacher's steps.
    """
    teacher = components.manifest.teacher
    if teacher is not None:
        return 3 * components.sampler.steps + teacher.steps
    return 3 + components.objective.self_conditioning


def _roughly(network: nn.Module, components: Components, codec: Codec) -> int:
    """Return, of the right order of magnitude, the bytes of a step: weights, what enters and leaves matrices, logits."""
    train, num_patches = components.manifest.train, _num_patches(components)
    a_patch = sum(sum(value.shape) for value in network.parameters() if value.ndim == 2)
    logits = codec.capacity * codec.vocab_size
    return 16 * _num_bytes(network) + 16 * train.batch_size * (num_patches * a_patch + logits)


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
