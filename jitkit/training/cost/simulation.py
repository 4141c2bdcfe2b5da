"""The forward and backward passes of a step on tensors without memory, to count their FLOPs and peak bytes."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from jitkit.assembly import Components, new_network
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.loss import diffusion_loss
from jitkit.execution.activation_checkpointing import checkpoint_activations
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.runtime_network import RuntimeNetwork
from jitkit.execution.simulated_device import simulated_device
from jitkit.protocols import Noised


@dataclass(frozen=True)
class Simulated:
    """The cost of one step. A FLOP is an addition or multiplication of a matrix product."""

    forward_flops: int  # of one forward pass of all images
    peak: int  # bytes of gradients, batch, tensors saved for the backward pass, and temporary ones


class PeakMemoryMode(TorchDispatchMode):
    """Tracks the bytes of the tensors created inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def simulate(
    components: Components, denoiser: Denoiser, execution: ExecutionConfig, batch_size: int, parts: int = 1
) -> Simulated:
    """Return the cost of a step of `batch_size` images in `parts`, without computing it.

    What a compiled network saves for the backward pass is unknown before it is compiled. It is assumed to be the same as on a
    CPU, where operations between matrix products are recomputed in the backward pass, as compiled code does. If a loss needs
    values, which these tensors do not have, a squared error replaces it.
    """
    device = torch.device("cpu") if execution.compiled else execution.device
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    codec = copy.deepcopy(denoiser.codec)  # it caches copies per device, and copies made here have no values
    with FakeTensorMode(allow_non_fake_inputs=True), simulated_device(execution.device):
        network = network.to_empty(device=device)
        if execution.recompute:
            checkpoint_activations(network)
        runtime = RuntimeNetwork(network, ExecutionConfig(device, execution.bf16))
        denoiser = replace(denoiser, network=runtime, codec=codec)

        def squared_error(batch: Noised) -> Tensor:
            raw: Tensor = runtime(batch.z, batch.t, known=batch.known)
            return raw.square()

        def own_loss(batch: Noised) -> Tensor:
            return diffusion_loss(denoiser, batch, condition=None)

        try:
            peak = _peak(denoiser, own_loss, device, batch_size, parts)
        except (DataDependentOutputException, DynamicOutputShapeException):
            peak = _peak(denoiser, squared_error, device, batch_size, parts)
        with FlopCounterMode(display=False) as counter:
            image = _batch(denoiser, device, 1)
            network(image.z, image.t)
    return Simulated(counter.get_total_flops() * batch_size, peak)


def _peak(
    denoiser: Denoiser,
    loss: Callable[[Noised], Tensor],
    device: torch.device,
    batch_size: int,
    parts: int,
) -> int:
    """Return the peak bytes. From the second part on, the gradients of the first exist."""
    denoiser.network.zero_grad(set_to_none=True)
    with PeakMemoryMode() as memory:
        whole = _batch(denoiser, device, batch_size)
        part = whole.rows(slice(batch_size // parts))
        for _ in range(min(2, parts)):
            loss(part).sum().backward()  # type: ignore[no-untyped-call]
    return int(memory.peak)


def _batch(denoiser: Denoiser, device: torch.device, num: int) -> Noised:
    """Return a batch of the right shapes, without values."""
    size, codec = denoiser.codec.image_size, denoiser.codec
    image = (num, 3, size, size)
    known = torch.zeros(num, 1, size, size, device=device) if denoiser.objective.known else None
    x, noise, z = (torch.zeros(image, device=device) for _ in range(3))
    tokens = torch.zeros(num, codec.capacity, dtype=torch.int64, device=device)
    return Noised(tokens, x, noise, torch.zeros(num, device=device), z, known)
