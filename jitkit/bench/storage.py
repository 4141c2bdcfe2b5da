"""A checkpoint to resume from: written, checked and loaded, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from jitkit.bench.subject import Subject
from jitkit.bench.timing import as_json, repeated
from jitkit.checkpoints import load_checkpoint, pipeline_from_checkpoint, save_checkpoint
from jitkit.discovery.loader import PluginManager
from jitkit.manifest.writer import manifest_to_toml
from jitkit.storage.torch_archive import check_archive
from jitkit.training.state import Facts


def measure_checkpoint(subject: Subject, manager: PluginManager, versions: Mapping[str, str]) -> dict[str, object]:
    """Return seconds of saving (checked, as always), of checking alone, and of loading the values and a working model."""
    facts = Facts(
        manifest=manifest_to_toml(subject.components.manifest),
        tokenizer=subject.pipeline.files(),
        validation_tokens=subject.windows.tokens([0]),
        data={"fingerprint": subject.data.fingerprint, "origin": "jitkit bench"},
        threads=torch.get_num_threads(),
        execution=subject.execution.facts(),
        versions=dict(versions),
    )
    checkpoint = subject.state.checkpoint(1, facts)
    cpu, device = torch.device("cpu"), subject.device
    with tempfile.TemporaryDirectory(prefix="jitkit-bench-") as folder:
        path = Path(folder, "checkpoint.pth")
        return as_json(
            save_seconds=repeated(lambda: save_checkpoint(path, checkpoint), cpu),
            verify_seconds=repeated(lambda: check_archive(path), cpu),
            load_seconds=repeated(lambda: load_checkpoint(path), cpu),
            pipeline_seconds=repeated(lambda: pipeline_from_checkpoint(path, device, manager=manager), device),
            num_bytes=path.stat().st_size,
        )
