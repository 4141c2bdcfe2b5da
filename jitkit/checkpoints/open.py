"""A model from what a user names: a checkpoint, or the id of a zoo model that has weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jitkit.checkpoints.format import pipeline_from_checkpoint
from jitkit.discovery.loader import create_plugin_manager
from jitkit.errors import InputError, RefusedError, did_you_mean, shown
from jitkit.files import Files
from jitkit.manifest import read_manifest
from jitkit.pipeline import Pipeline
from jitkit.zoo.index import zoo_index


def find_checkpoint(model: str | Path) -> Path:
    """Return the checkpoint file that a user means: a path, or the id of a zoo model that has weights.

    Raises InputError when it is neither or the model has no weights, RefusedError when the weights' SHA-256 is not the
    one in the manifest.
    """
    path = Path(model)
    if path.exists() or path.suffix in {".pth", ".safetensors"}:
        return path
    index = zoo_index(create_plugin_manager())
    if str(model) not in index:
        raise InputError(
            f"no such file and no zoo id {shown(str(model))}",
            "a checkpoint (.pth) or the id of a model with weights",
            file=model,
            hint=did_you_mean(str(model), index),
        )
    manifest = read_manifest(index[str(model)])
    if manifest.weights.file is None:
        raise InputError(
            "a zoo model without weights",
            "one that is trained",
            file=index[str(model)],
            field="weights.file",
            hint=f"Train it: jitkit train {model}",
        )
    weights = Files(index[str(model)].parent).path(manifest.weights.file, field="weights.file")
    if not weights.exists():
        raise InputError("no such file", "the weights that the manifest names", file=weights, field="weights.file")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != manifest.weights.sha256:
        raise RefusedError(digest, str(manifest.weights.sha256), file=weights, field="weights.sha256")
    return weights


def load_pipeline(model: str | Path, *, device: str = "cpu") -> Pipeline:
    """Return the pipeline of a checkpoint file (or zoo id), ready to `generate`; EMA weights where it has them.

    Raises InputError, RefusedError or PluginError as the checkpoint deserves; see `jitkit.checkpoints.format`.
    """
    return pipeline_from_checkpoint(find_checkpoint(model), device)
