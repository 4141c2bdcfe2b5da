"""What the optimizer computes, moves, and exchanges in a step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from jitkit.manifest.schema import Train
from jitkit.plan.traffic import Traffic
from jitkit.training.optim.muon import orthogonal
from jitkit.training.optim.optimizer import num_state_bytes, split_parameters


@dataclass(frozen=True)
class OptimizerWork:
    """The work of all processes that hold one copy of the model together."""

    state_bytes: int
    touched_bytes: int  # read and written by clipping, optimizer, averages, and the check for finite numbers
    shapes: Counter[tuple[int, int]]  # of the matrices that have owners

    @classmethod
    def of(cls, network: nn.Module, train: Train) -> OptimizerWork:
        """Return the work for `network`, which may be on the `meta` device."""
        weights = sum(parameter.nbytes for parameter in network.parameters())
        state, averages = num_state_bytes(network, train), len(train.ema)
        # Gradients are read for their norm and by the optimizer, and scaled in place. All else is read, written, and checked;
        # each average reads the weights, too.
        touched = 4 * weights + (3 + averages) * weights + 3 * state + 3 * averages * weights
        matrices, _ = split_parameters(network, train)
        return cls(state, touched, Counter((matrix.shape[0], matrix.shape[1]) for matrix in matrices))

    def flops(self, shard: int) -> int:
        """Return the FLOPs of the process whose matrices are most work; they are dealt out one by one."""
        work = [0] * shard
        matrices = [shape for shape, count in self.shapes.items() for _ in range(count)]
        cost = {shape: _orthogonal_flops(shape) for shape in self.shapes}
        for number, shape in enumerate(matrices):
            work[number % shard] += cost[shape]
        return max(work)

    def traffic(self, shard: int) -> Traffic:
        """Return the exchanges: matrices of each shape go to their owners in bf16 and come back."""
        if shard == 1:
            return Traffic()
        sizes = [2 * count * m * n for (m, n), count in self.shapes.items()]
        return Traffic(exchanges=tuple(size for size in sizes for _ in range(2)))


def _orthogonal_flops(shape: tuple[int, int]) -> int:
    with FlopCounterMode(display=False) as counter:
        orthogonal(torch.empty(1, *shape, device="meta", dtype=torch.bfloat16))
    return int(counter.get_total_flops())
