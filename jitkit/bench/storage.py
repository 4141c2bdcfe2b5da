"""A checkpoint to resume from: written, checked and loaded, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import as_json, repeated
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import load_pipeline
from jitkit.discovery.loader import PluginManager
from jitkit.manifest.writer import manifest_to_toml
from jitkit.storage.torch_archive import check_archive
from jitkit.training.state import RunMetadata


def measure_checkpoint(
    target: BenchmarkTarget, manager: PluginManager, versions: Mapping[str, str]
) -> dict[str, object]:
    """Return seconds of saving (checked, as always), of checking alone, and of loading the values and a working model."""
    facts = RunMetadata(
        manifest=manifest_to_toml(target.components.manifest),
        tokenizer=target.pipeline.files(),
        validation_tokens=target.windows.tokens([0]),
        data={"fingerprint": target.data.fingerprint, "origin": "jitkit bench"},
        threads=torch.get_num_threads(),
        execution=target.execution.facts(),
        versions=dict(versions),
    )
    checkpoint = target.state.checkpoint(1, facts)
    cpu, device = torch.device("cpu"), target.device
    with tempfile.TemporaryDirectory(prefix="jitkit-bench-") as folder:
        path = Path(folder, "checkpoint.pth")
        return as_json(
            save_seconds=repeated(lambda: save_checkpoint(path, checkpoint), cpu),
            verify_seconds=repeated(lambda: check_archive(path), cpu),
            load_seconds=repeated(lambda: load_checkpoint(path), cpu),
            pipeline_seconds=repeated(lambda: load_pipeline(path, device, manager=manager), device),
            num_bytes=path.stat().st_size,
        )
