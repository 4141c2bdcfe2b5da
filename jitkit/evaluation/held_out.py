"""Text that the checkpoint did not bring along: other held-out windows, and what the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jitkit.assembly import Components
from jitkit.checkpoints.open import OpenedModel
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError, shown
from jitkit.evaluation.contamination import refuse_contamination
from jitkit.evaluation.context import CannotMeasureError, evenly
from jitkit.evaluation.reference import Documents
from jitkit.pipeline import Pipeline
from jitkit.recipe import prepared_text, resolve_recipe


class Texts(NamedTuple):
    """What a checkpoint is measured on."""

    windows: Tensor  # [M, L] int64, held out
    training: Documents
    origin: str
    notes: list[str]


def texts_for(model: OpenedModel, pipeline: Pipeline, registry: Registry, data: Path | None = None) -> Texts:
    """Return the held-out windows that a model brings along, or those of the text at `data`."""
    checkpoint, folder = model.checkpoint, model.path.parent
    if data is None:
        origin = checkpoint.data.get("origin", "the checkpoint's own windows")
        return Texts(
            checkpoint.validation_tokens, training_documents(None, folder, pipeline, registry), str(origin), []
        )
    seen = training_documents(None, folder, pipeline, registry)
    trained_on = checkpoint.data.get("fingerprint", "")
    windows, unchecked = held_out_windows(data, pipeline, registry, trained_on=trained_on, seen=seen)
    if not trained_on and not unchecked:  # an exported model: its manifest may name other text than it was trained on
        said = shown(str(checkpoint.data.get("origin", "nothing")))
        unchecked = [f"whether the model was trained on this text could not be checked: of its training it says {said}"]
    return Texts(windows, training_documents(data, folder, pipeline, registry), str(data), unchecked)


def held_out_windows(
    path: Path, pipeline: Pipeline, registry: Registry, *, trained_on: str, seen: Documents
) -> tuple[Tensor, list[str]]:
    """Return windows [M, L] int64 of the text at `path`, at most `train.validation_windows`, evenly spaced.

    They are of its *validation* split, so that text the model was trained on stays out when `path` is that very text
    (its fingerprint is `trained_on`). Other text must not overlap the documents that the model has `seen`; where these are
    not at hand, what is returned beside the windows says so. Raises InputError for text that cannot be read, fills no
    window or overlaps.
    """
    components = _components(path, Path(), pipeline, registry)
    text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity)
    unchecked = []
    if text.data.fingerprint != trained_on:
        try:
            refuse_contamination(
                components.data.build(components.files).documents("validation"), seen(), file=str(path)
            )
        except CannotMeasureError as error:
            unchecked.append(f"whether the model was trained on this text could not be checked: {error}")
    windows, wanted = text.validation, pipeline.manifest.train.validation_windows
    return windows.tokens(evenly(torch.tensor(windows.consecutive), wanted).tolist()), unchecked


def training_documents(path: Path | None, folder: Path, pipeline: Pipeline, registry: Registry) -> Documents:
    """Return what gives the documents of the *training* split of the text at `path`; None means the recorded text.

    `folder` is the checkpoint's; relative paths of its manifest lead there or, as typed in training, into the working
    folder. Nothing is read before the documents are asked for, which raises CannotMeasureError for text that cannot be
    read; a checkpoint does not embed the text it was trained on.
    """

    def documents() -> Iterator[str]:
        try:
            components = _components(path, _home(folder, pipeline), pipeline, registry)
            yield from components.data.build(components.files).documents("train")
        except JitkitError as error:
            if path is not None:
                raise
            problem = error.problems[0]
            raise CannotMeasureError(
                f"training text that cannot be read from here ({problem.file or problem.field}: {problem.found})",
                "the text that the checkpoint was trained on, which it does not embed",
                field="data",
                hint="Name it: --data PATH",
            ) from error

    return documents


def _home(folder: Path, pipeline: Pipeline) -> Path:
    """Return the folder that a recorded relative path leads from: the checkpoint's, or the working one if it is there only."""
    name = str(pipeline.manifest.data.options.get("path", ""))
    return Path() if name and not (folder / name).exists() and Path(name).exists() else folder


def _components(path: Path | None, folder: Path, pipeline: Pipeline, registry: Registry) -> Components:
    return resolve_recipe(pipeline.manifest, folder, registry, path)
