"""Muon on matrices whose rows are split among processes against Muon on whole matrices, bit for bit.

torchrun starts this file as the program of each process.
"""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from jitkit.interpreter import end_process
from jitkit.parallel.sharding import full, shard_network
from jitkit.training.optim.muon import Muon

# Rows are split unevenly, also to processes without any. The bits of 9 x 9 products depend on where matrices start in memory.
SHAPES = [*[(7, 5)] * 3, *[(3, 8)] * 5, *[(1, 4)] * 2, *[(16, 16)] * 4, *[(9, 9)] * 3, (24, 8), (8, 24)]
NUM_STEPS = 4


@pytest.mark.slow
@pytest.mark.parametrize("meshes", ["1x2 2x1", "1x3", "1x4 2x2"])
def test_owners_equal_whole_matrices_bit_for_bit(meshes: str) -> None:
    """Meshes are replicas x shards. Processes compare weights and momentum, and require that every matrix has moved.

    In bfloat16, products of small matrices are rounded differently in stacks of different sizes.
    """
    replicas, shards = map(int, meshes.split()[0].split("x"))
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(replicas * shards),
    ]
    done = subprocess.run(
        [*launcher, __file__, *meshes.split()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("equal") == 2 * len(meshes.split()), done.stdout


class Matrices(nn.Module):
    """Matrices whose gradients are those that are passed in."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.matrices = nn.ParameterList(torch.randn(shape, generator=generator) for shape in SHAPES)

    def forward(self, gradients: list[Tensor]) -> Tensor:
        products = zip(self.matrices, gradients, strict=True)
        return torch.stack([(matrix * gradient).sum() for matrix, gradient in products]).sum()


def train(network: nn.Module, dtype: torch.dtype, weight: float) -> list[Tensor]:
    """Take steps with fixed gradients, multiplied by `weight`; return the weights and the momentum."""
    muon = Muon(list(network.parameters()), weight_decay=0.01, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    for step in range(NUM_STEPS):
        gradients = [weight * torch.randn(shape, generator=generator) for shape in SHAPES]
        network.zero_grad()
        network(gradients).backward()
        muon.step(0.1 / (step + 1))
    return [*network.parameters(), *(muon.state[matrix]["momentum_buffer"] for matrix in network.parameters())]


def sharded(network: nn.Module, replicas: int, shards: int) -> nn.Module:
    """Return a network split on a mesh. Gradients are summed over all processes."""
    from torch.distributed.device_mesh import init_device_mesh  # here: imports much that collecting tests does not need

    network = copy.deepcopy(network)
    mesh = init_device_mesh("cpu", (replicas, shards), mesh_dim_names=("replicas", "shards"))
    shard_network(network, mesh)
    return network


def work() -> None:
    """Compare what one process of torchrun holds with one process alone. Only the first adds to the gradient."""
    dist.init_process_group("gloo")
    first = dist.get_rank() == 0
    for text, dtype in itertools.product(sys.argv[1:], (torch.float32, torch.bfloat16)):
        replicas, shards = map(int, text.split("x"))
        start = Matrices()
        expected = train(copy.deepcopy(start), dtype, 1.0)
        found = [full(value) for value in train(sharded(start, replicas, shards), dtype, float(first))]
        for index, (value, other) in enumerate(zip(found, expected, strict=True)):
            error = (value - other).abs().max()
            assert error <= (0 if dtype == torch.float32 else 1e-3), (text, dtype, index, error)
        for before, after in zip(start.parameters(), found, strict=False):
            assert (after - before).square().mean().sqrt() > 0.01, "weight decay alone moves a matrix by 0.002"
        if first:
            print("equal", flush=True)
    dist.destroy_process_group()
    end_process(0)


if __name__ == "__main__":
    work()
