"""The text that a model is evaluated on: held-out windows, and its training text for comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.assembly import Components
from jitkit.checkpoints.local_paths import PATH
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
from jitkit.protocols import DataSource
from jitkit.recipe import prepared_text, resolve_recipe

UNCHECKED = "could not check whether the model was trained on this text"
READ_AGAIN = "the held-out text was read again from the data source, and could have changed since the training"


def split_overrides(overrides: Sequence[str], data: Path | None) -> tuple[list[str], list[str]]:
    """Return the overrides of a model, and those of how the text at `data` is read. Without one, all are of the model."""
    of_text = [text for text in overrides if data is not None and is_among(text.partition("=")[0].strip(), ["data"])]
    return [text for text in overrides if text not in of_text], of_text


class HeldOutText(NamedTuple):
    """Held-out windows, and the training text."""

    windows: Tensor  # [M, L] int64
    training: TrainingDocuments
    source: Callable[[], DataSource]  # of both
    origin: str
    notes: list[str]


def held_out_text(
    model: OpenedModel, pipeline: Pipeline, registry: Registry, data: Path | None = None, overrides: Sequence[str] = ()
) -> HeldOutText:
    """Return the held-out windows of the model, or those of the text at `data`, which is read as `overrides` state."""
    recorded = model.checkpoint.data
    recorded_source = partial(_recorded_source, model.path.parent, pipeline, registry)
    trained_on = partial(_training_documents, recorded_source)
    if data is None:
        origin = str(recorded.get("origin", "the checkpoint's own windows"))
        windows, notes = _own_windows(model, pipeline, origin)
        return HeldOutText(windows, trained_on, recorded_source, origin, notes)
    fingerprint = recorded.get("fingerprint", "")
    manifest = parse_manifest(model.checkpoint.manifest, f"{model.path} (manifest)", overrides)
    components = resolve_recipe(manifest, Path(), registry, data)
    windows, notes = _held_out_windows(data, components, pipeline, fingerprint=fingerprint, trained_on=trained_on)
    if not fingerprint and not notes:  # an exported model, whose manifest may name other text
        notes = [f"{UNCHECKED}: the model's recorded training text is {shown(str(recorded.get('origin', 'nothing')))}"]
    source = components.data.build(components.files)
    return HeldOutText(windows, lambda: source.documents("train"), lambda: source, str(data), notes)


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
        source=texts.source,
        progress=progress,
    )


def _own_windows(model: OpenedModel, pipeline: Pipeline, origin: str) -> tuple[Tensor, list[str]]:
    """Return the held-out windows [M, L] int64 of a model whose training text is called `origin`, and notes.

    A checkpoint contains them. An exported model does not, so they are read from its data source, if this needs no file.
    Otherwise there are none. Raises CannotMeasureError if the source cannot be read.
    """
    windows = model.checkpoint.validation_tokens
    if len(windows) or not _is_of_source(components := model.components(), origin):
        return windows, []
    with _reading_training_text():
        text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity)
        return text.validation_tokens(components.manifest.train.validation_windows), [READ_AGAIN]


def _is_of_source(components: Components, origin: str) -> bool:
    """Return whether `origin` is the data source in the manifest, and this source needs no file.

    A manifest of the zoo is also a recipe, which may have another data source than its weights.
    """
    manifest = components.manifest
    needs_file = getattr(components.data, PATH, "") or manifest.train.prepared
    return not needs_file and origin.startswith(manifest.data.described)


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


def _recorded_source(folder: Path, pipeline: Pipeline, registry: Registry) -> DataSource:
    """Return the source of the text that a model was trained on, which a checkpoint does not contain.

    Relative paths in the manifest are relative to `folder`, the checkpoint's, or to the working folder. Raises
    CannotMeasureError if the source cannot be opened.
    """
    name = str(pipeline.manifest.data.options.get("path", ""))
    if not _has(folder, name) and _has(Path(), name):
        folder = Path()
    with _reading_training_text():
        components = resolve_recipe(pipeline.manifest, folder, registry)
        return components.data.build(components.files)


def _training_documents(source: Callable[[], DataSource]) -> Iterator[str]:
    """Yield the *training* split of a source. Raises CannotMeasureError if it cannot be read."""
    with _reading_training_text():
        yield from source().documents("train")


@contextmanager
def _reading_training_text() -> Iterator[None]:
    """Raise CannotMeasureError for training text that cannot be read."""
    try:
        yield
    except CannotMeasureError:
        raise
    except JitkitError as error:
        problem = error.problems[0]
        reason = problem.found + (f", not {problem.expected}" if isinstance(error, RefusedError) else "")
        found = f"training text that cannot be read here ({problem.file or problem.field}: {reason})"
        expected = "the text that the model was trained on, which the checkpoint does not contain"
        raise CannotMeasureError(found, expected, field="data", hint="Name it: --data PATH") from error
