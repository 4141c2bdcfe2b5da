"""Activation checkpointing trades time for memory (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost")."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from jitkit.errors import ManifestError


def checkpoint_activations(network: nn.Module) -> None:
    """Make the blocks in the network's stacks (`nn.ModuleList`) store only their inputs for the backward pass.

    The backward pass recomputes the rest by the same operations, so gradients are equal bit for bit. Module and state-dict
    names stay the same. Raises ManifestError for a network without a stack.
    """
    blocks = [block for stack in network.modules() if isinstance(stack, nn.ModuleList) for block in stack]
    if not blocks:
        raise ManifestError("true", "false: this backbone has no stack of blocks", field="train.recompute")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
