"""How long a JiT-B/4 checkpoint takes to write (verified) and to load, checked, as a working pipeline.

    python research/checkpoints.py [FOLDER]

Two files are written into FOLDER (a temporary one by default) and deleted: `best`, with weights and two averages, and
`resume`, with AdamW's two moments as well.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from jitkit.assembly import assemble
from jitkit.checkpoints.format import Checkpoint, load_checkpoint, save_checkpoint, versions_in_use
from jitkit.checkpoints.open import load_pipeline
from jitkit.discovery import create_plugin_manager
from jitkit.manifest import manifest_to_toml
from jitkit.recipe import open_recipe

REPEATS = 3


def checkpoint(*, optimizer: bool) -> Checkpoint:
    manager = create_plugin_manager()
    components = open_recipe("jit-b4", manager=manager)
    pipeline = assemble(components)
    weights = pipeline.network.state_dict()
    moments = {name: {"exp_avg": value.clone(), "exp_avg_sq": value.clone()} for name, value in weights.items()}
    return Checkpoint(
        model_state_dict=weights,
        ema_state_dict={str(decay): {k: v.clone() for k, v in weights.items()} for decay in (0.999, 0.9999)},
        optimizer_state_dict={"state": moments} if optimizer else None,
        epoch=1,
        step=1,
        loss=1.0,
        best_loss=1.0,
        rng={"cpu": torch.get_rng_state()},
        manifest=manifest_to_toml(components.manifest),
        tokenizer=pipeline.files(),
        validation_tokens=torch.zeros(256, pipeline.codec.capacity, dtype=torch.int64),
        data={},
        threads=torch.get_num_threads(),
        execution={},
        versions=versions_in_use(manager),
    )


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; best of {REPEATS}, warm file cache"
    )
    print(f"{'checkpoint':12}{'size':>10}{'save':>9}{'check':>9}{'pipeline':>10}")
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for name in ("best", "resume"):
            written, path = checkpoint(optimizer=name == "resume"), Path(folder, f"{name}.pth")
            start = time.perf_counter()
            save_checkpoint(path, written)
            saving = time.perf_counter() - start
            size = path.stat().st_size
            del written
            checking = best(lambda path=path: load_checkpoint(path))
            loading = best(lambda path=path: load_pipeline(path))
            print(f"{name:12}{size / 1e9:7.2f} GB{saving:8.2f}s{checking:8.2f}s{loading:9.2f}s")
            path.unlink()


def best(action) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
