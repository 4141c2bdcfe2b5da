"""Evaluating a model: the document that `jitkit eval --json` prints."""

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
from jitkit.component import Component
from jitkit.discovery.registry import Registry
from jitkit.documents.document import Provenance, provenance
from jitkit.documents.rows import Measurement
from jitkit.documents.schemas import Evaluation
from jitkit.errors import InputError, PluginError, shown
from jitkit.evaluation.context import (
    CannotMeasureError,
    EvaluationContext,
    evenly_spaced,
    inner_times,
)
from jitkit.evaluation.held_out import context_of, held_out_text, split_overrides
from jitkit.evaluation.metric import Metric
from jitkit.evaluation.notes import notes_on
from jitkit.evaluation.partial_results import PartialResults
from jitkit.execution.device import describe_machine
from jitkit.manifest.writer import manifest_to_toml
from jitkit.progress import Progress, silent
from jitkit.storage.cache import cache_folder

ALL = "all"
RESERVED = {field.alias or name for name, field in Evaluation.model_fields.items()}  # names that no metric can have
QUICK_WINDOWS, QUICK_TIMES = 16, 3


@dataclass(frozen=True)
class Scope:
    """How much is measured: everything in the manifest's `[eval]`, at most `limit` windows, or a quick look."""

    limit: int | None = None
    quick: bool = False

    @property
    def limits(self) -> dict[str, int]:
        """The limits of the number of windows, each by the words for it."""
        limits = {f"--limit is {self.limit}": self.limit} if self.limit else {}
        return limits | ({f"--quick takes {QUICK_WINDOWS}": QUICK_WINDOWS} if self.quick else {})

    @property
    def max_windows(self) -> int:
        """The maximum number of windows."""
        return min(self.limits.values(), default=sys.maxsize)

    def narrow(self, context: EvaluationContext) -> EvaluationContext:
        """Return the context, restricted to this scope."""
        if self.max_windows < len(context.held_out):
            context = replace(context, held_out=evenly_spaced(context.held_out, self.max_windows))
        if self.quick:
            context = replace(context, times=inner_times(context.times, QUICK_TIMES))
        return context


FULL = Scope()


def measure(context: EvaluationContext, metric: Metric) -> Measurement:
    """Return the measurement of a metric as plain numbers. Raises InputError for a number that is not finite."""
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
    """Return the evaluation report of a model: a document of plain values, without NaN (keys: docs/evaluation.md).

    Windows of the text at `data` replace those in the checkpoint. `metrics` replace those in the manifest; `ALL` means
    every installed one, and the report then lists those that cannot be measured. `overrides` ("sampler.steps=16") replace
    keys of the manifest; with `data`, those of the table `data` only state how this text is read. With `keep`, partial
    results are stored next to the checkpoint until the evaluation is complete. `on_measured` receives the context, the
    step, and the provenance.

    Raises what opening a model and reading text raise, PluginError for a metric that is not installed, and InputError if
    there is nothing to measure, the text is contaminated, or a metric needs training text that is not available.
    """
    started = time.monotonic()
    own, of_text = split_overrides(overrides, data)
    pipeline = model.pipeline(device, overrides=own)
    registry = Registry(model.manager)
    chosen = _chosen(registry, metrics, pipeline.manifest.eval.metrics)
    texts = held_out_text(model, pipeline, registry, data, of_text)
    context = scope.narrow(context_of(pipeline, texts, progress))
    num_windows = pipeline.manifest.eval.num_windows
    notes = texts.notes + notes_on(context, {f"eval.num_windows is {num_windows}": num_windows, **scope.limits})
    versions = versions_in_use(model.manager)
    document = _header(model, context, texts.origin, scope, overrides)
    if keep:
        results = _partial_results(model, {**document, "versions": versions}, context.held_out)
        context = replace(context, partial=results)
    measured, not_measured = _measure_all(context, chosen, skip=ALL in metrics)
    machine = describe_machine(pipeline.device)
    made_by = provenance(
        manifest_to_toml(pipeline.manifest),
        versions,
        machine,
        model.sha256,
        trained=model.checkpoint.data,
        validation_windows=len(model.checkpoint.validation_tokens),
    )
    on_measured(context, model.checkpoint.step, made_by)
    context.partial.delete()
    return {
        **document,
        **measured,
        "about": {metric.name: type(metric).summary() for metric in chosen if metric.name in measured},
        "not_measured": not_measured,
        "notes": notes + context.notes + context.partial.notes,
        "seconds": round(time.monotonic() - started, 3),
        "provenance": made_by.as_json(),
    }


def _chosen(registry: Registry, metrics: Sequence[str], defaults: Sequence[str]) -> list[Component]:
    """Return the metrics to compute."""
    names = [*defaults, *registry.catalog("metrics").names()] if ALL in metrics else metrics or defaults
    for name in RESERVED.intersection(names):
        raise PluginError(f"a metric called {shown(name)}", "a name that is not a key of the report")
    return [registry.component("metrics", name, field="--metric")() for name in dict.fromkeys(names)]


def _header(
    model: OpenedModel, context: EvaluationContext, origin: str, scope: Scope, overrides: Sequence[str]
) -> dict[str, Any]:
    """Return the keys of the report that describe what is measured."""
    pipeline = context.pipeline
    return {
        "schema": "jitkit.eval/1",
        "checkpoint": str(model.path),
        "model": pipeline.manifest.id,
        "epoch": model.checkpoint.epoch,
        "step": model.checkpoint.step,
        "held_out": origin,
        "num_held_out": len(context.held_out),
        "num_windows": len(context.windows),
        "tokens_per_window": pipeline.codec.capacity,
        "seed": context.seed,
        "sampler": {"use": pipeline.manifest.sampler.use, "steps": context.num_steps},
        "quick": scope.quick,
        "set": list(overrides),
        "device": str(pipeline.device),
        "precision": pipeline.execution.precision,
    }


def _measure_all(
    context: EvaluationContext, metrics: Sequence[Component], *, skip: bool
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Return the measurements, and the reasons why others are missing; unless `skip`, a missing one is an error."""
    measured, not_measured = dict[str, Measurement](), dict[str, str]()
    for metric in metrics:
        compute = partial(measure, context, cast(Metric, metric))
        try:
            measured[metric.name] = context.partial.get(f"metric {metric.name}", compute)
        except CannotMeasureError as error:
            if not skip:
                raise
            not_measured[metric.name] = str(error)
    return measured, not_measured


def _partial_results(model: OpenedModel, settings: Mapping[str, Any], windows: Tensor) -> PartialResults:
    """Return the partial results of earlier evaluations of this file with these settings and windows."""
    tokens = hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest()
    folder = model.own_folder or cache_folder("evaluations")
    return PartialResults(folder / f"{model.path.stem}.eval", {**settings, "sha256": model.sha256, "windows": tokens})
