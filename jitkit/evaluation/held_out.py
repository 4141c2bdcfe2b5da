"""Text that the checkpoint did not bring along: other held-out windows, and what the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jitkit.assembly import resolve
from jitkit.checkpoints.format import Checkpoint
from jitkit.data.shards import prepare
from jitkit.data.windows import Windows
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError, shown
from jitkit.evaluation.contamination import refuse_contamination
from jitkit.evaluation.context import CannotMeasureError, evenly
from jitkit.evaluation.reference import Documents
from jitkit.pipeline import Pipeline
from jitkit.protocols import DataSource
from jitkit.zoo.recipe import with_data


class Texts(NamedTuple):
    """What a checkpoint is measured on."""

    windows: Tensor  # [M, L] int64, held out
    training: Documents
    origin: str
    notes: list[str]


def texts_for(
    checkpoint: Checkpoint, path: Path, pipeline: Pipeline, registry: Registry, data: Path | None = None
) -> Texts:
    """Return the held-out windows that the checkpoint at `path` brings along, or those of the text at `data`."""
    if data is None:
        origin = checkpoint.data.get("origin", "the checkpoint's own windows")
        return Texts(
            checkpoint.validation_tokens, training_documents(None, path.parent, pipeline, registry), str(origin), []
        )
    seen = training_documents(None, path.parent, pipeline, registry)
    trained_on = checkpoint.data.get("fingerprint", "")
    windows, unchecked = held_out_windows(data, pipeline, registry, trained_on=trained_on, seen=seen)
    if not trained_on and not unchecked:  # an exported model: its manifest may name other text than it was trained on
        said = shown(str(checkpoint.data.get("origin", "nothing")))
        unchecked = [f"whether the model was trained on this text could not be checked: of its training it says {said}"]
    return Texts(windows, training_documents(data, path.parent, pipeline, registry), str(data), unchecked)


def held_out_windows(
    path: Path, pipeline: Pipeline, registry: Registry, *, trained_on: str, seen: Documents
) -> tuple[Tensor, list[str]]:
    """Return windows [M, L] int64 of the text at `path`, at most `train.validation_windows`, evenly spaced.

    They are of its *validation* split, so that text the model was trained on stays out when `path` is that very text
    (its fingerprint is `trained_on`). Other text must not overlap the documents that the model has `seen`; where these are
    not at hand, what is returned beside the windows says so. Raises InputError for text that cannot be read, fills no
    window or overlaps.
    """
    train, length = pipeline.manifest.train, pipeline.codec.capacity
    source = _source(path, Path(), pipeline, registry)
    prepared = prepare(source, pipeline.tokenizer, pack_length=None if train.pack else length)
    unchecked = []
    if prepared.fingerprint != trained_on:
        try:
            refuse_contamination(source.documents("validation"), seen(), file=str(path))
        except CannotMeasureError as error:
            unchecked.append(f"whether the model was trained on this text could not be checked: {error}")
    windows = Windows(prepared.validation, length)
    return windows.tokens(evenly(torch.tensor(windows.consecutive), train.validation_windows).tolist()), unchecked


def training_documents(path: Path | None, folder: Path, pipeline: Pipeline, registry: Registry) -> Documents:
    """Return what gives the documents of the *training* split of the text at `path`; None means the recorded text.

    `folder` is the checkpoint's; relative paths of its manifest lead there or, as typed in training, into the working
    folder. Nothing is read before the documents are asked for, which raises CannotMeasureError for text that cannot be
    read; a checkpoint does not embed the text it was trained on.
    """

    def documents() -> Iterator[str]:
        try:
            yield from _source(path, _home(folder, pipeline), pipeline, registry).documents("train")
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


def _source(path: Path | None, folder: Path, pipeline: Pipeline, registry: Registry) -> DataSource:
    manifest, files = with_data(pipeline.manifest, folder, path)
    return resolve(manifest, registry, files).data.build(files)
