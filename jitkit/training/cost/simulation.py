"""The passes of a training step on tensors without memory: how much work they are, and how much they would hold at once."""

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
    """What the forward and backward passes of one step take. A FLOP is an addition or multiplication of a matrix product."""

    forward_flops: int  # of a forward pass of all images
    peak: (
        int  # bytes: gradients, batch, what is kept for the backward pass and what passes through, at the worst moment
    )


class PeakMemoryMode(TorchDispatchMode):
    """Counts the bytes of the tensors made under it, while they live."""

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
    """Return what a step of `batch_size` images in `parts` takes, without doing it.

    The network runs as `execution` says. What a compiled one keeps for the backward pass is not known before it is
    compiled: it is taken for what a CPU keeps, whose formulas between matrix products compute again what they can, as
    compiled ones do. An objective whose loss asks for values, which tensors without memory do not have, is replaced by a
    squared error.
    """
    device = torch.device("cpu") if execution.compiled else execution.device
    with torch.device("meta"):
        network = new_network(components, denoiser.codec)
    codec = copy.deepcopy(denoiser.codec)  # it keeps what it has copied to a device, and here the copies are empty
    with FakeTensorMode(allow_non_fake_inputs=True), simulated_device(execution.device):
        network = network.to_empty(device=device)
        if execution.recompute:
            checkpoint_activations(network)
        run = RuntimeNetwork(network, ExecutionConfig(device, execution.bf16))
        denoiser = replace(denoiser, network=run, codec=codec)

        def squared_error(batch: Noised) -> Tensor:
            raw: Tensor = run(batch.z, batch.t, known=batch.known)
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
    """Return the bytes at the worst moment; from the second part on the gradients of the first are there."""
    denoiser.network.zero_grad(set_to_none=True)
    with PeakMemoryMode() as held:
        whole = _batch(denoiser, device, batch_size)
        part = whole.rows(slice(batch_size // parts))
        for _ in range(min(2, parts)):
            loss(part).sum().backward()  # type: ignore[no-untyped-call]
    return int(held.peak)


def _batch(denoiser: Denoiser, device: torch.device, num: int) -> Noised:
    """Return a batch of the right shapes; its values do not exist."""
    size, codec = denoiser.codec.image_size, denoiser.codec
    image = (num, 3, size, size)
    known = torch.zeros(num, 1, size, size, device=device) if denoiser.objective.known else None
    x, noise, z = (torch.zeros(image, device=device) for _ in range(3))
    tokens = torch.zeros(num, codec.capacity, dtype=torch.int64, device=device)
    return Noised(tokens, x, noise, torch.zeros(num, device=device), z, known)
