"""How regular and how varied a model's texts are under different settings: one point for each combination of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from jitkit.checkpoints.format import versions_in_use
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery.registry import Registry
from jitkit.documents.document import Setting
from jitkit.documents.frontier import Frontier, FrontierPoint
from jitkit.documents.provenance import provenance
from jitkit.errors import PluginError, UsageError, shown
from jitkit.evaluation.context import EvaluationContext, batch_size_on
from jitkit.evaluation.held_out import Texts, texts_for
from jitkit.evaluation.metric import Metric
from jitkit.evaluation.reference import Documents
from jitkit.execution.machine import describe_machine
from jitkit.manifest.axes import combinations, override_text
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent

METRIC = "generation"
MODEL = "model"  # its row of that metric; the other rows are of texts that no model wrote

Axes = Mapping[str, Sequence[Setting]]
Settings = dict[str, Setting]


@dataclass(frozen=True)
class Sweep:
    """The settings to try: every combination of the values of `axes`; `base` ("sampler.gamma=1") stands for all points."""

    axes: Axes
    base: Sequence[str] = ()

    def points(self) -> list[Settings]:
        """Return the settings of each point."""
        return combinations(self.axes)


def measure_frontier(
    model: OpenedModel,
    sweep: Sweep,
    *,
    num_texts: int,
    data: Path | None = None,
    device: str | torch.device = "cpu",
    earlier: Frontier | None = None,
    save: Callable[[Frontier], None] = lambda _: None,
    progress: Progress = silent,
) -> Frontier:
    """Return the frontier of a checkpoint, judged as by the metric `generation`; all points share their seeds and texts.

    `data` is measured in place of the recorded text: its held-out part beside the texts, its training part as the judge
    and the controls. Points of an `earlier` frontier are not measured
    again; `save` is given what there is after each point. Raises what evaluating raises, and UsageError where `earlier` is
    of something else.
    """
    registry = Registry(model.manager)
    metric = cast(Metric, registry.component("metrics", METRIC)())
    pipeline = model.pipeline(device, overrides=sweep.base)
    texts = texts_for(model, pipeline, registry, data)
    documents = _remembered(texts.training)
    frontier = _begun(model, pipeline, sweep, num_texts, texts)
    if earlier is not None:
        frontier = _continued(frontier, earlier)
    wanted = sweep.points()
    for number, settings in enumerate(wanted):
        if any(point.set == settings for point in frontier.points):
            continue
        started = time.monotonic()
        overrides = [*sweep.base, *(override_text(key, value) for key, value in settings.items())]
        point = model.pipeline(device, overrides=overrides)

        def advance(what: str, done: int, total: int, before: int = number) -> None:
            if what == "samples":
                progress("frontier", before * total + done, len(wanted) * total)

        context = EvaluationContext(
            point,
            texts.windows,
            seed=frontier.seed,
            times=point.manifest.eval.times,
            num_windows=num_texts,
            batch_size=point.images_at_once(batch_size_on(point.device)),
            documents=documents,
            progress=advance,
        )
        rows = metric.measure(context)
        if isinstance(rows, Mapping):
            raise PluginError(f"a metric {METRIC} without rows", f"a row {shown(MODEL)} among others")
        measured = next(row for row in rows if row.get("text") == MODEL)
        numbers = {key: value for key, value in measured.items() if key != "text"}
        new = FrontierPoint(set=settings, measured=numbers, seconds=round(time.monotonic() - started, 3))
        points = [*frontier.points, new]
        marks = [dict(row) for row in rows if row is not measured]
        frontier = frontier.model_copy(
            update={"points": points, "marks": marks, "complete": _holds_all(points, frontier.axes)}
        )
        save(frontier)
    return frontier


def _begun(
    model: OpenedModel,
    pipeline: Pipeline,
    sweep: Sweep,
    num_texts: int,
    texts: Texts,
) -> Frontier:
    num = min(num_texts, len(texts.windows))
    return Frontier(
        checkpoint=str(model.path),
        model=pipeline.manifest.id,
        step=model.checkpoint.step,
        held_out=texts.origin,
        num_texts=num,
        seed=pipeline.manifest.train.seed,
        axes={key: list(values) for key, values in sweep.axes.items()},
        marks=[],
        points=[],
        complete=False,
        provenance=provenance(
            model.checkpoint.manifest, versions_in_use(model.manager), describe_machine(pipeline.device), model.sha256
        ),
    )


def _continued(frontier: Frontier, earlier: Frontier) -> Frontier:
    """Return `frontier` with the points, and the further values of axes, that an `earlier` one has."""
    ours, theirs = _identity(frontier), _identity(earlier)
    for key, value in ours.items():
        if theirs[key] != value:
            raise UsageError(
                f"a frontier of another {key} ({shown(theirs[key])})",
                shown(value),
                file="frontier.json",
                hint="--overwrite measures anew; --out chooses another folder.",
            )
    axes = {key: list(dict.fromkeys([*earlier.axes[key], *values])) for key, values in frontier.axes.items()}
    points = list(earlier.points)
    changes = {"axes": axes, "points": points, "marks": earlier.marks, "complete": _holds_all(points, axes)}
    return frontier.model_copy(update=changes)


def _identity(frontier: Frontier) -> dict[str, object]:
    """Return what points on one frontier share."""
    return {
        "checkpoint (SHA-256)": frontier.provenance.checkpoint_sha256,
        "number of texts": frontier.num_texts,
        "text": frontier.held_out,
        "seed": frontier.seed,
        "set of axes": sorted(frontier.axes),
    }


def _holds_all(points: Sequence[FrontierPoint], axes: Axes) -> bool:
    return all(any(point.set == wanted for point in points) for wanted in Sweep(axes).points())


def _remembered(documents: Documents) -> Documents:
    """Return the documents of a source that is read once."""
    found: list[str] = []

    def remembered() -> Sequence[str]:
        if not found:
            found.extend(documents())
        return found

    return remembered
