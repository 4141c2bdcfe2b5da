"""The frontier of a model: how its samples score over a grid of settings."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import torch

from jitkit.checkpoints.format import versions_in_use
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery.registry import Registry
from jitkit.documents.document import Rows, Setting, provenance
from jitkit.documents.rows import MODEL
from jitkit.documents.schemas import Frontier, FrontierPoint
from jitkit.errors import PluginError, UsageError, shown
from jitkit.evaluation.context import SAMPLES, EvaluationContext
from jitkit.evaluation.held_out import HeldOutText, context_of, held_out_text, split_overrides
from jitkit.evaluation.metric import FrontierMetric
from jitkit.execution.device import describe_machine
from jitkit.manifest.writer import override_text
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent

Axes = Mapping[str, Sequence[Setting]]
Settings = dict[str, Setting]


def measure_frontier(
    model: OpenedModel,
    axes: Axes,
    *,
    overrides: Sequence[str] = (),
    num_texts: int,
    data: Path | None = None,
    device: str | torch.device = "cpu",
    earlier: Frontier | None = None,
    save: Callable[[Frontier], None] = lambda _: None,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda _: None,
) -> Frontier:
    """Return the frontier of a model: a point for every combination of the values of `axes`, on top of `overrides`.

    A metric scores the points, which share their seeds: the first in the model's `eval.metrics` that can, or else the
    first one that is installed. The text at `data` replaces the recorded text: its held-out part as real text, its
    training part for the reference texts. Points of an `earlier` frontier are reused. `save` receives the frontier after
    each point, and `note` a message if there are fewer texts than requested.
    Raises what evaluating raises, and UsageError if `earlier` belongs to something else.
    """
    registry = Registry(model.manager)
    overrides, of_text = split_overrides(overrides, data)
    pipeline = model.pipeline(device, overrides=overrides)
    metric = _metric(registry, pipeline.manifest.eval.metrics)
    texts = held_out_text(model, pipeline, registry, data, of_text)
    read = texts.training
    texts = texts._replace(training=cache(lambda: list(read())))
    frontier = _started(model, pipeline, axes, num_texts, texts, metric.frontier_columns)
    if frontier.num_texts < num_texts:
        note(f"-n is {num_texts}; the held-out text has {frontier.num_texts} to compare them with")
    if earlier is not None:
        frontier = _continued(frontier, earlier)
    wanted = _combinations(axes)
    for settings in wanted:
        model.components(_overrides_at(overrides, settings))  # an invalid value must not be found after hours
    for index, settings in enumerate(wanted):
        if any(point.set == settings for point in frontier.points):
            continue
        started = time.monotonic()

        def advance(what: str, done: int, total: int, before: int = index) -> None:
            if what == SAMPLES:
                progress("frontier", before * total + done, len(wanted) * total)

        point = model.pipeline(device, overrides=_overrides_at(overrides, settings))
        context = replace(context_of(point, texts, advance), num_windows=frontier.num_texts, steps=None)
        scores, marks = _scores(metric, context)
        new = FrontierPoint(set=settings, measured=scores, seconds=round(time.monotonic() - started, 3))
        frontier = _completed(frontier.model_copy(update={"points": [*frontier.points, new], "marks": marks}))
        save(frontier)
    return frontier


def _metric(registry: Registry, preferred: Sequence[str]) -> FrontierMetric:
    """Return the first metric that scores samples, one of the `preferred` names if there is any."""
    members = sorted(registry.catalog("metrics").members(), key=lambda member: member.name not in preferred)
    found = next((member for member in members if getattr(member, "frontier_columns", ())), None)
    if found is None:
        raise PluginError("no metric that scores samples", "an installed one with `frontier_columns`")
    return cast(FrontierMetric, found())


def _overrides_at(overrides: Sequence[str], settings: Settings) -> list[str]:
    """Return `overrides` and those for the settings of a point."""
    return [*overrides, *(override_text(key, value) for key, value in settings.items())]


def _scores(metric: FrontierMetric, context: EvaluationContext) -> tuple[dict[str, float | str], Rows]:
    """Return the scores of the model's samples, and the rows of the reference texts."""
    measurement = metric.measure(context)
    rows = [
        {key: value if isinstance(value, str) else float(value) for key, value in row.items()}
        for row in ([] if isinstance(measurement, Mapping) else measurement)
    ]
    samples = next((row for row in rows if row.get("text") == MODEL), None)
    if samples is None:
        raise PluginError(f"a metric {shown(metric.name)} without a row {shown(MODEL)}", "one among its rows")
    scores = {key: value for key, value in samples.items() if key != "text"}
    return scores, [row for row in rows if row is not samples]


def _started(
    model: OpenedModel, pipeline: Pipeline, axes: Axes, num_texts: int, texts: HeldOutText, columns: Sequence[str]
) -> Frontier:
    """Return the frontier without any point."""
    machine = describe_machine(pipeline.device)
    return Frontier(
        checkpoint=str(model.path),
        model=pipeline.manifest.id,
        step=model.checkpoint.step,
        held_out=texts.origin,
        num_texts=min(num_texts, len(texts.windows)),
        seed=pipeline.manifest.train.seed,
        axes={key: list(values) for key, values in axes.items()},
        columns=list(columns),
        marks=[],
        points=[],
        complete=False,
        provenance=provenance(model.checkpoint.manifest, versions_in_use(model.manager), machine, model.sha256),
    )


def _continued(frontier: Frontier, earlier: Frontier) -> Frontier:
    """Return `frontier` with the points and the axis values of an `earlier` one."""
    old, hint = _identity(earlier), "--overwrite measures all points again; --out chooses another folder."
    for key, value in _identity(frontier).items():
        if old[key] != value:
            found = f"a frontier with another {key} ({shown(old[key])})"
            raise UsageError(found, shown(value), file="frontier.json", hint=hint)
    axes = {key: list(dict.fromkeys([*earlier.axes[key], *values])) for key, values in frontier.axes.items()}
    points = list(earlier.points)
    return _completed(frontier.model_copy(update={"axes": axes, "points": points, "marks": earlier.marks}))


def _identity(frontier: Frontier) -> dict[str, object]:
    """Return what the points of one frontier have in common."""
    return {
        "checkpoint (SHA-256)": frontier.provenance.checkpoint_sha256,
        "number of texts": frontier.num_texts,
        "text": frontier.held_out,
        "seed": frontier.seed,
        "set of axes": sorted(frontier.axes),
        "set of scores": frontier.columns,
    }


def _completed(frontier: Frontier) -> Frontier:
    """Return `frontier` with `complete` set to whether it has every combination."""
    measured = [point.set for point in frontier.points]
    complete = all(settings in measured for settings in _combinations(frontier.axes))
    return frontier.model_copy(update={"complete": complete})


def _combinations(axes: Axes) -> list[Settings]:
    """Return every combination of one value per axis. The last axis varies fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
