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

from jitkit.checkpoints.format import versions_in_use
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery.registry import Registry
from jitkit.documents.provenance import Provenance, provenance
from jitkit.documents.rows import Measurement
from jitkit.errors import InputError, PluginError, shown
from jitkit.evaluation.context import (
    CannotMeasureError,
    EvaluationContext,
    batch_size_on,
    evenly,
    spread,
)
from jitkit.evaluation.held_out import texts_for
from jitkit.evaluation.metric import Metric
from jitkit.evaluation.notes import notes_on
from jitkit.evaluation.partial_results import PartialResults
from jitkit.execution.machine import describe_machine
from jitkit.manifest.writer import manifest_to_toml
from jitkit.progress import Progress, silent
from jitkit.storage.cache import cache_folder
from jitkit.zoo.index import builtin_folder

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

    def narrow(self, context: EvaluationContext) -> EvaluationContext:
        """Return the context with as many windows and times as are wanted."""
        if self.most_windows < len(context.held_out):
            context = replace(context, held_out=evenly(context.held_out, self.most_windows))
        if self.quick:
            context = replace(context, times=spread(context.times, QUICK_TIMES))
        return context


FULL = Scope()


def measure(context: EvaluationContext, metrics: Sequence[Metric]) -> dict[str, Measurement]:
    """Return what each metric says, by its name. Raises InputError for a number that is not finite."""
    return {
        metric.name: context.partial.get(f"metric {metric.name}", partial(_measured, metric, context))
        for metric in metrics
    }


def _measured(metric: Metric, context: EvaluationContext) -> Measurement:
    """Return what a metric says as plain numbers or rows of them, all finite."""
    measurement = metric.measure(context)
    for row in [measurement] if isinstance(measurement, Mapping) else measurement:
        for key, value in row.items():
            if not isinstance(value, str) and not math.isfinite(value):
                raise InputError(str(value), "a finite number", field=f"{metric.name}.{key}")
    return dict(measurement) if isinstance(measurement, Mapping) else [dict(row) for row in measurement]


def evaluate_checkpoint(
    model: OpenedModel,
    *,
    data: Path | None = None,
    scope: Scope = FULL,
    metrics: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    keep: bool = False,
    on_measured: Callable[[EvaluationContext, int, Provenance], object] = lambda *_: None,
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
    checkpoint, path = model.checkpoint, model.path
    pipeline = model.pipeline(device, overrides=overrides)
    settings, registry = pipeline.manifest.eval, Registry(model.manager)
    everything = ALL in metrics
    every = [*settings.metrics, *registry.catalog("metrics").names()] if everything else metrics or settings.metrics
    chosen = [registry.component("metrics", name)() for name in dict.fromkeys(every)]
    texts = texts_for(model, pipeline, registry, data)
    context = EvaluationContext(
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
    context = scope.narrow(context)
    notes = texts.notes + notes_on(context, min(settings.num_windows, scope.most_windows))
    versions = versions_in_use(model.manager)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "checkpoint": str(path),
        "model": pipeline.manifest.id,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "held_out": texts.origin,
        "num_held_out": len(context.held_out),
        "num_windows": len(context.windows),
        "tokens_per_window": pipeline.codec.capacity,
        "seed": context.seed,
        "sampler": {"use": pipeline.manifest.sampler.use, "steps": context.steps or pipeline.sampler.steps},
        "quick": scope.quick,
        "set": list(overrides),
        "device": str(pipeline.device),
        "precision": pipeline.execution.precision,
    }
    partial = (
        _partial_results(model, {**document, "versions": versions}, context.held_out) if keep else PartialResults()
    )
    context = replace(context, partial=partial)
    measured: dict[str, Measurement] = {}
    not_measured: dict[str, str] = {}
    for metric in chosen:
        if metric.name in {*document, *RESERVED}:
            raise PluginError(f"a metric called {shown(metric.name)}", "a name that the report does not use for itself")
        try:
            measured |= measure(context, [cast(Metric, metric)])
        except CannotMeasureError as error:
            if not everything:
                raise
            not_measured[metric.name] = str(error)
    machine = describe_machine(pipeline.device)
    origin = provenance(manifest_to_toml(pipeline.manifest), versions, machine, model.sha256)
    on_measured(context, checkpoint.step, origin)
    partial.forget()
    if "no_bigrams" in vars(context) and context.no_bigrams:  # asked for, and in vain
        notes.append(f"no bigram line: {context.no_bigrams}")
    if partial.reused:
        notes.append("an interrupted evaluation was continued")
    if partial.failure:
        notes.append(f"had this been interrupted, nothing would have been kept: {partial.failure}")
    return {
        **document,
        **measured,
        "about": {metric.name: type(metric).summary() for metric in chosen if metric.name in measured},
        "not_measured": not_measured,
        "notes": notes,
        "seconds": round(time.monotonic() - started, 3),
        "provenance": origin.as_json(),
    }


def _partial_results(model: OpenedModel, settings: Mapping[str, Any], windows: Tensor) -> PartialResults:
    """Return what is kept of evaluations of this very file, with these settings, on these windows."""
    tokens = hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest()
    shipped = builtin_folder() in model.path.resolve().parents  # jitkit's own folder is no place to write into
    folder = cache_folder("evaluations") if shipped else model.path.parent
    return PartialResults(folder / f"{model.path.stem}.eval", {**settings, "sha256": model.sha256, "windows": tokens})
