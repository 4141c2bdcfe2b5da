"""What a run will take, counted on a network without memory (`meta`) before anything is built: `jitkit train --dry-run`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jitkit.diffusion.guidance import NONE, inputs_of
from jitkit.manifest.schema import Guidance, Train
from jitkit.protocols import Backbone, Objective
from jitkit.training.optim import num_state_bytes


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds at once; the framework itself and the data come on top."""

    weights: int
    gradients: int
    optimizer: int
    averages: int
    activations: int  # what the forward pass keeps for the backward pass, in float32; bfloat16 keeps less

    @property
    def total(self) -> int:
        """The sum."""
        return self.weights + self.gradients + self.optimizer + self.averages + self.activations


@dataclass(frozen=True)
class Estimate:
    """What training takes. A FLOP is one addition or one multiplication of a matrix product, attention included."""

    num_parameters: int
    tokens_per_image: int
    batch_size: int
    num_steps: int
    forward_flops: int  # an image
    training_flops: int  # an image: forward, backward (twice that) and the extra pass of self-conditioning
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


def estimate(
    backbone: Backbone,
    objective: Objective,
    train: Train,
    *,
    tokens_per_image: int,
    num_steps: int,
    guidance: Guidance = NONE,
) -> Estimate:
    """Return what it takes to train `backbone` for `num_steps`; `tokens_per_image` is the codec's capacity."""
    with torch.device("meta"):
        network = backbone.build(**inputs_of(objective, guidance))
    forward_flops, activations = _forward(network, backbone.image_size)
    weights = sum(value.nbytes for value in network.state_dict().values())
    memory = Memory(
        weights=weights,
        gradients=sum(value.nbytes for value in network.parameters() if value.requires_grad),
        optimizer=num_state_bytes(network, train),
        averages=len(train.ema) * weights,
        activations=activations * (train.batch_size // train.accumulate),
    )
    return Estimate(
        num_parameters=sum(value.numel() for value in network.parameters()),
        tokens_per_image=tokens_per_image,
        batch_size=train.batch_size,
        num_steps=num_steps,
        forward_flops=forward_flops,
        training_flops=round(forward_flops * (3 + objective.self_conditioning)),
        memory=memory,
        checkpoint_bytes=memory.weights + memory.averages + memory.optimizer,
    )


def _forward(network: nn.Module, image_size: int) -> tuple[int, int]:
    """Return the FLOPs of one image's forward pass on `meta`, and the bytes that it keeps for the backward pass."""
    z, t = torch.empty(1, 3, image_size, image_size, device="meta"), torch.empty(1, device="meta")
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage._cdata] = storage  # many views may share one storage
        return value

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        network(z, t)
    weights = {value.untyped_storage()._cdata for value in network.parameters()}
    return counter.get_total_flops(), sum(kept[key].nbytes() for key in kept.keys() - weights)
