"""A checkpoint to resume from: saved, verified, and loaded in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import as_json, measure_seconds
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import load_pipeline
from jitkit.discovery.loader import PluginManager
from jitkit.storage.torch_archive import check_archive
from jitkit.training.metadata import run_metadata


def measure_checkpoint(
    target: BenchmarkTarget, manager: PluginManager, versions: Mapping[str, str]
) -> dict[str, object]:
    """Return the seconds of saving (verified, as always), of verifying alone, and of loading the values and the model."""
    checkpoint = target.state.checkpoint(1, run_metadata(target.setup, versions, {"origin": "jitkit bench"}))
    cpu, device = torch.device("cpu"), target.device
    with tempfile.TemporaryDirectory(prefix="jitkit-bench-") as folder:
        path = Path(folder, "checkpoint.pth")
        return as_json(
            save_seconds=measure_seconds(lambda: save_checkpoint(path, checkpoint), cpu),
            verify_seconds=measure_seconds(lambda: check_archive(path), cpu),
            load_seconds=measure_seconds(lambda: load_checkpoint(path), cpu),
            pipeline_seconds=measure_seconds(lambda: load_pipeline(path, device, manager=manager), device),
            num_bytes=path.stat().st_size,
        )
