"""The text that a model is evaluated on: held-out windows, and its training text for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.assembly import Components
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError, RefusedError, shown
from jitkit.evaluation.contamination import refuse_contamination
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext, evenly_spaced
from jitkit.evaluation.texts import TrainingDocuments
from jitkit.files import member_path
from jitkit.filesystem import exists
from jitkit.kinds import is_among
from jitkit.manifest.reader import parse_manifest
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress
from jitkit.recipe import prepared_text, resolve_recipe

UNCHECKED = "could not check whether the model was trained on this text"


def split_overrides(overrides: Sequence[str], data: Path | None) -> tuple[list[str], list[str]]:
    """Return the overrides of a model, and those of how the text at `data` is read. Without one, all are of the model."""
    of_text = [text for text in overrides if data is not None and is_among(text.partition("=")[0].strip(), ["data"])]
    return [text for text in overrides if text not in of_text], of_text


class HeldOutText(NamedTuple):
    """Held-out windows, and the training text."""

    windows: Tensor  # [M, L] int64
    training: TrainingDocuments
    origin: str
    notes: list[str]


def held_out_text(
    model: OpenedModel, pipeline: Pipeline, registry: Registry, data: Path | None = None, overrides: Sequence[str] = ()
) -> HeldOutText:
    """Return the held-out windows in the checkpoint, or those of the text at `data`, which is read as `overrides` state."""
    recorded = model.checkpoint.data
    trained_on = _training_documents(model.path.parent, pipeline, registry)
    if data is None:
        origin = str(recorded.get("origin", "the checkpoint's own windows"))
        return HeldOutText(model.checkpoint.validation_tokens, trained_on, origin, [])
    fingerprint = recorded.get("fingerprint", "")
    manifest = parse_manifest(model.checkpoint.manifest, f"{model.path} (manifest)", overrides)
    components = resolve_recipe(manifest, Path(), registry, data)
    windows, notes = _held_out_windows(data, components, pipeline, fingerprint=fingerprint, trained_on=trained_on)
    if not fingerprint and not notes:  # an exported model, whose manifest may name other text
        notes = [f"{UNCHECKED}: the model's recorded training text is {shown(str(recorded.get('origin', 'nothing')))}"]
    source = components.data.build(components.files)
    return HeldOutText(windows, lambda: source.documents("train"), str(data), notes)


def context_of(pipeline: Pipeline, texts: HeldOutText, progress: Progress) -> EvaluationContext:
    """Return the evaluation context of a pipeline, with the settings of its manifest."""
    settings, size = pipeline.manifest.eval, 16 if pipeline.device.type == "cpu" else 32  # must fit the caches of a CPU
    return EvaluationContext(
        pipeline,
        texts.windows,
        seed=pipeline.manifest.train.seed,
        times=settings.times,
        num_windows=settings.num_windows,
        batch_size=parallel.agreed(pipeline.images_at_once(size)),
        steps=settings.steps,
        documents=texts.training,
        progress=progress,
    )


def _held_out_windows(
    path: Path, components: Components, pipeline: Pipeline, *, fingerprint: str, trained_on: TrainingDocuments
) -> tuple[Tensor, list[str]]:
    """Return windows [M, L] int64 of the text at `path`, and notes: at most `train.validation_windows`, evenly spaced.

    They come from its *validation* split. Text with another `fingerprint` than the training text must not overlap the
    documents that the model was `trained_on`; a note reports if these are not available. Raises InputError for text that
    cannot be read, fills no window, or is contaminated.
    """
    text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity)
    notes = []
    if text.data.fingerprint != fingerprint:
        documents = components.data.build(components.files).documents("validation")
        try:
            refuse_contamination(documents, trained_on(), file=str(path))
        except CannotMeasureError as error:
            notes.append(f"{UNCHECKED}: {error}")
    windows, num = text.validation, pipeline.manifest.train.validation_windows
    return windows.tokens(evenly_spaced(torch.tensor(windows.consecutive), num).tolist()), notes


def _has(folder: Path, name: str) -> bool:
    """Return whether `folder` has a file `name` that a manifest may name."""
    try:
        return exists(member_path(folder, name), error=RefusedError)
    except RefusedError:
        return False


def _training_documents(folder: Path, pipeline: Pipeline, registry: Registry) -> TrainingDocuments:
    """Return a function that reads the *training* split of the recorded text.

    Relative paths in the manifest are relative to `folder`, the checkpoint's, or to the working folder. A checkpoint does
    not contain its training text: the function raises CannotMeasureError if the recorded text cannot be read.
    """

    name = str(pipeline.manifest.data.options.get("path", ""))
    if not _has(folder, name) and _has(Path(), name):
        folder = Path()

    def documents() -> Iterator[str]:
        try:
            components = resolve_recipe(pipeline.manifest, folder, registry)
            yield from components.data.build(components.files).documents("train")
        except JitkitError as error:
            problem = error.problems[0]
            reason = problem.found + (f", not {problem.expected}" if isinstance(error, RefusedError) else "")
            found = f"training text that cannot be read here ({problem.file or problem.field}: {reason})"
            expected = "the text that the model was trained on, which the checkpoint does not contain"
            raise CannotMeasureError(found, expected, field="data", hint="Name it: --data PATH") from error

    return documents
