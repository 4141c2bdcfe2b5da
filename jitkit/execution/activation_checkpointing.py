"""Activation checkpointing: memory for time (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost")."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from jitkit.errors import ManifestError


def checkpoint_activations(network: nn.Module) -> None:
    """Let the blocks of the network, those of its stacks (`nn.ModuleList`), keep their inputs only.

    What is inside a block is computed again in the backward pass, by the same operations: gradients are equal bit for
    bit. The network stays the same module, with the same names. Raises ManifestError for a network without a stack.
    """
    blocks = [block for stack in network.modules() if isinstance(stack, nn.ModuleList) for block in stack]
    if not blocks:
        raise ManifestError("true", "false: this backbone has no stack of blocks", field="train.recompute")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
