"""From a checkpoint to the document that `jitkit eval --json` prints."""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from jitkit.checkpoints import load_checkpoint, pipeline_of, versions_in_use
from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, PluginError, shown
from jitkit.evaluation.held_out import texts_for
from jitkit.evaluation.kept import Kept
from jitkit.evaluation.remarks import remarks_on
from jitkit.evaluation.subject import CannotMeasureError, Progress, Subject, batch_size_on, evenly, silent, spread
from jitkit.manifest.writer import manifest_to_toml
from jitkit.protocols import Measurement, Metric
from jitkit.report.documents import Provenance
from jitkit.report.provenance import provenance
from jitkit.storage.cache import cache_folder
from jitkit.zoo import builtin_folder

SCHEMA = "jitkit.eval/1"

ALL = "all"
RESERVED = ("about", "not_measured", "notes", "seconds", "provenance")
QUICK_WINDOWS, QUICK_TIMES = 16, 3


@dataclass(frozen=True)
class Scope:
    """How much is measured: all that the manifest's `[eval]` says, at most `limit` windows, or a quick look."""

    limit: int | None = None
    quick: bool = False

    @property
    def most_windows(self) -> int:
        """How many windows this lets through."""
        return min(self.limit or sys.maxsize, QUICK_WINDOWS if self.quick else sys.maxsize)

    def narrow(self, subject: Subject) -> Subject:
        """Return the subject with as many windows and times as are wanted."""
        if self.most_windows < len(subject.held_out):
            subject = replace(subject, held_out=evenly(subject.held_out, self.most_windows))
        if self.quick:
            subject = replace(subject, times=spread(subject.times, QUICK_TIMES))
        return subject


FULL = Scope()


def measure(subject: Subject, metrics: Sequence[Metric]) -> dict[str, Measurement]:
    """Return what each metric says, by its name. Raises InputError for a number that is not finite."""
    return {
        metric.name: subject.kept.get(f"metric {metric.name}", partial(_measured, metric, subject))
        for metric in metrics
    }


def _measured(metric: Metric, subject: Subject) -> Measurement:
    """Return what a metric says as plain numbers or rows of them, all finite."""
    measurement = metric.measure(subject)
    for row in [measurement] if isinstance(measurement, Mapping) else measurement:
        for key, value in row.items():
            if not isinstance(value, str) and not math.isfinite(value):
                raise InputError(str(value), "a finite number", field=f"{metric.name}.{key}")
    return dict(measurement) if isinstance(measurement, Mapping) else [dict(row) for row in measurement]


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
    keep: bool = False,
    on_measured: Callable[[Subject, int, Provenance], object] = lambda *_: None,
) -> dict[str, Any]:
    """Return the report of a checkpoint: a document of plain values, without NaN (docs/evaluation.md names the keys).

    Nothing but the file is needed: it holds its held-out windows; those of the text at `data` replace them. `metrics` are
    measured in place of those that the manifest names, `ALL` being every installed one, less those that this model or
    place has no means for, which the report names. `overrides` ("sampler.steps=16") are laid over the manifest. With
    `keep`, what is finished is kept beside the checkpoint until all is, and an evaluation that was interrupted goes on
    from there. `on_measured` is given what was measured, the step and the provenance, for pictures. Raises what loading a
    checkpoint and reading text raise, PluginError for a metric that is not installed, and InputError when there is
    nothing to measure, the text overlaps what the model was trained on, or a metric asks for training text that is not
    at hand.
    """
    started = time.monotonic()
    checkpoint = load_checkpoint(path)
    pipeline = pipeline_of(checkpoint, path, device=device, manager=manager, overrides=overrides)
    settings, registry = pipeline.manifest.eval, Registry(manager)
    everything = ALL in metrics
    every = [*settings.metrics, *registry.catalog("metrics").names()] if everything else metrics or settings.metrics
    chosen = [registry.component("metrics", name)() for name in dict.fromkeys(every)]
    texts = texts_for(checkpoint, path, pipeline, registry, data)
    subject = Subject(
        pipeline,
        texts.windows,
        seed=pipeline.manifest.train.seed,
        times=settings.times,
        num_windows=settings.num_windows,
        batch_size=pipeline.images_at_once(batch_size_on(pipeline.device)),
        steps=settings.steps,
        documents=texts.training,
        progress=progress,
    )
    subject = scope.narrow(subject)
    notes = texts.notes + remarks_on(subject, min(settings.num_windows, scope.most_windows))
    versions = versions_in_use(manager)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "checkpoint": str(path),
        "model": pipeline.manifest.id,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "held_out": texts.origin,
        "num_held_out": len(subject.held_out),
        "num_windows": len(subject.windows),
        "tokens_per_window": pipeline.codec.capacity,
        "seed": subject.seed,
        "sampler": {"use": pipeline.manifest.sampler.use, "steps": subject.steps or pipeline.sampler.steps},
        "quick": scope.quick,
        "set": list(overrides),
        "device": str(pipeline.device),
        "precision": pipeline.execution.precision,
    }
    kept = _kept(path, {**document, "versions": versions}, subject.held_out) if keep else Kept()
    subject = replace(subject, kept=kept)
    measured: dict[str, Measurement] = {}
    not_measured: dict[str, str] = {}
    for metric in chosen:
        if metric.name in {*document, *RESERVED}:
            raise PluginError(f"a metric called {shown(metric.name)}", "a name that the report does not use for itself")
        try:
            measured |= measure(subject, [cast(Metric, metric)])
        except CannotMeasureError as error:
            if not everything:
                raise
            not_measured[metric.name] = str(error)
    origin = provenance(manifest_to_toml(pipeline.manifest), versions, pipeline.device, path)
    on_measured(subject, checkpoint.step, origin)
    kept.forget()
    if "no_bigrams" in vars(subject) and subject.no_bigrams:  # asked for, and in vain
        notes.append(f"no bigram line: {subject.no_bigrams}")
    if kept.reused:
        notes.append("an interrupted evaluation was continued")
    if kept.failure:
        notes.append(f"had this been interrupted, nothing would have been kept: {kept.failure}")
    return {
        **document,
        **measured,
        "about": {metric.name: type(metric).summary() for metric in chosen if metric.name in measured},
        "not_measured": not_measured,
        "notes": notes,
        "seconds": round(time.monotonic() - started, 3),
        "provenance": origin.as_json(),
    }


def _kept(path: Path, settings: Mapping[str, Any], windows: Tensor) -> Kept:
    """Return what is kept of evaluations of this very file, with these settings, on these windows."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    tokens = hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest()
    shipped = builtin_folder() in path.resolve().parents  # jitkit's own folder is no place to write into
    folder = cache_folder("evaluations") if shipped else path.parent
    return Kept(folder / f"{path.stem}.eval", {**settings, "sha256": digest, "windows": tokens})
