"""Measure one configuration in a process of its own, so that the peak memory is its own.

    python -m research.growth.point MANIFEST DEVICE KEY=VALUE ...

`research.growth` starts this once per configuration.
"""

from __future__ import annotations

import json
import sys

import torch

from jitkit.bench.ceiling import Ceiling
from jitkit.bench.sections import measure_memory
from jitkit.bench.target import build_target
from jitkit.bench.training import measure_training
from jitkit.execution.device import find_device
from jitkit.recipe import open_recipe


def main(manifest: str, device: str, *overrides: str) -> None:
    """Print seconds per training step, and measured and predicted memory in bytes, without the program itself."""
    components = open_recipe(manifest, overrides=overrides)
    target = build_target(components, find_device(device), note=lambda text: print(text, file=sys.stderr))
    training, memory = measure_training(target, Ceiling.of(target)), measure_memory(target)
    program = target.estimate.memory.program
    print(
        json.dumps(
            {
                "step_seconds": training["step_seconds"],
                "bytes": memory.get("peak_bytes", memory["predicted_bytes"]) - program,
                "predicted_bytes": memory["predicted_bytes"] - program,
                "precision": target.setup.execution.precision,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
