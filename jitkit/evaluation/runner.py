"""From a checkpoint to the document that `jitkit eval --json` prints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from jitkit.checkpoints import load_checkpoint, pipeline_of, versions_in_use
from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, PluginError, shown
from jitkit.evaluation.held_out import held_out_windows, training_documents
from jitkit.evaluation.subject import Progress, Subject, silent, spread
from jitkit.manifest.writer import manifest_to_toml
from jitkit.protocols import Measurement, Metric
from jitkit.report.provenance import provenance

SCHEMA = "jitkit.eval/1"

QUICK_WINDOWS, QUICK_TIMES, QUICK_STEPS = 16, 3, 8


@dataclass(frozen=True)
class Scope:
    """How much is measured: all that the manifest's `[eval]` says, at most `limit` windows, or a quick look."""

    limit: int | None = None
    quick: bool = False

    def narrow(self, subject: Subject) -> Subject:
        """Return the subject with as many windows, times and steps as are wanted."""
        limit = min(self.limit or len(subject.held_out), QUICK_WINDOWS if self.quick else len(subject.held_out))
        if limit < len(subject.held_out):
            subject = replace(subject, held_out=replace(subject, num_windows=limit).windows)
        if self.quick:
            steps = min(QUICK_STEPS, subject.pipeline.sampler.steps)
            subject = replace(subject, times=spread(subject.times, QUICK_TIMES), steps=steps)
        return subject


FULL = Scope()


def measure(subject: Subject, metrics: Sequence[Metric]) -> dict[str, Measurement]:
    """Return what each metric says, by its name. Raises InputError for a number that is not finite."""
    measurements: dict[str, Measurement] = {}
    for metric in metrics:
        measurement = metric.measure(subject)
        for row in [measurement] if isinstance(measurement, Mapping) else measurement:
            for key, value in row.items():
                if not isinstance(value, str) and not math.isfinite(value):
                    raise InputError(str(value), "a finite number", field=f"{metric.name}.{key}")
        measurements[metric.name] = measurement
    return measurements


def evaluate_checkpoint(
    path: Path,
    manager: PluginManager,
    *,
    data: Path | None = None,
    scope: Scope = FULL,
    metrics: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Return the report of a checkpoint: a document of plain values, without NaN (docs/evaluation.md names the keys).

    Nothing but the file is needed: it holds its held-out windows; those of the text at `data` replace them. `metrics` are
    measured in place of those that the manifest names; `overrides` ("sampler.steps=16") are laid over it. Raises what
    loading a checkpoint and reading text raise, PluginError for a metric that is not installed, and InputError when there
    is nothing to measure, or a metric asks for training text that is not at hand.
    """
    started = time.monotonic()
    checkpoint = load_checkpoint(path)
    pipeline = pipeline_of(checkpoint, path, device=device, manager=manager, overrides=overrides)
    settings, registry = pipeline.manifest.eval, Registry(manager)
    chosen = [registry.component("metrics", name)() for name in dict.fromkeys(metrics or settings.metrics)]
    subject = Subject(
        pipeline,
        checkpoint.validation_tokens if data is None else held_out_windows(data, pipeline, registry),
        seed=pipeline.manifest.train.seed,
        times=settings.times,
        num_windows=settings.num_windows,
        documents=training_documents(data, path.parent, pipeline, registry),
        progress=progress,
    )
    subject = scope.narrow(subject)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "checkpoint": str(path),
        "model": pipeline.manifest.id,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "held_out": str(data or checkpoint.data.get("origin", "the checkpoint's own windows")),
        "num_held_out": len(subject.held_out),
        "num_windows": len(subject.windows),
        "tokens_per_window": pipeline.codec.capacity,
        "seed": subject.seed,
        "sampler": {"use": pipeline.manifest.sampler.use, "steps": subject.steps or pipeline.sampler.steps},
        "quick": scope.quick,
        "set": list(overrides),
        "device": str(pipeline.device),
    }
    for name, measurement in measure(subject, cast(list[Metric], chosen)).items():
        if name in document:
            raise PluginError(f"a metric called {shown(name)}", "a name that the report does not use for itself")
        document[name] = dict(measurement) if isinstance(measurement, Mapping) else [dict(row) for row in measurement]
    versions = versions_in_use(manager)
    origin = provenance(manifest_to_toml(pipeline.manifest), versions, pipeline.device, path)
    return {
        **document,
        "about": {metric.name: type(metric).summary() for metric in chosen},
        "versions": versions,
        "seconds": round(time.monotonic() - started, 3),
        "provenance": origin.as_json(),
    }
