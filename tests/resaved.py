"""Load a checkpoint into a sharded network, as `torchrun` starts it, and save it as a folder: FROM TO SHARDS.

The weights are set to zero as soon as the save has begun.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from jitkit import parallel
from jitkit.checkpoints.open import open_model
from jitkit.checkpoints.save_shards import save_shards
from jitkit.interpreter import end_process
from jitkit.parallel.mesh import device_mesh
from jitkit.parallel.sharding import local, shard_network
from jitkit.training.state import RunMetadata, State

CPU = torch.device("cpu")


def resave(source: Path, target: Path, shards: int) -> None:
    """Save what is in `source` again, with `shards` processes for each replica."""
    model = open_model(source)
    checkpoint = model.checkpoint
    pipeline = model.pipeline()
    shard_network(pipeline.network, device_mesh(CPU, shards))
    state = State.new(pipeline.network, model.components().manifest.train, pipeline.denoiser.schedule)
    state.restore(checkpoint, source)
    metadata = RunMetadata(**{name: getattr(checkpoint, name) for name in RunMetadata.__dataclass_fields__})
    pending = save_shards(target, state.checkpoint(checkpoint.epoch, metadata))
    with torch.no_grad():
        for _, value in state.tensors():
            local(value).zero_()
    pending.finish()


if __name__ == "__main__":
    with parallel.process_group(CPU):
        resave(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    end_process(0)
