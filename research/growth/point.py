"""One point, in a process of its own, so that the peak of memory is its own: python -m research.growth.point MANIFEST KEY=VALUE ..."""

from __future__ import annotations

import json
import sys

import torch

from jitkit.bench.ceiling import Ceiling
from jitkit.bench.memory import measure_memory
from jitkit.bench.target import make_subject
from jitkit.bench.training import measure_training
from jitkit.execution.device import find_device
from jitkit.recipe import open_recipe


def main(manifest: str, device: str, *overrides: str) -> None:
    """Print seconds of a training step, and the bytes that it held and was predicted to hold beside the program."""
    components = open_recipe(manifest, overrides=overrides)
    context = make_subject(components, find_device(device), note=lambda text: print(text, file=sys.stderr))
    training, memory = measure_training(context, Ceiling.of(context)), measure_memory(context)
    program = context.estimate.memory.program
    print(
        json.dumps(
            {
                "step_seconds": training["step_seconds"],
                "bytes": memory.get("peak_bytes", memory["predicted_bytes"]) - program,
                "predicted_bytes": memory["predicted_bytes"] - program,
                "precision": context.execution.precision,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
