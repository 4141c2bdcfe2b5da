"""Starting a run from the weights of another model: `jitkit train --init`."""

from __future__ import annotations

from pathlib import Path

from jitkit.checkpoints.open import open_model
from jitkit.discovery.loader import PluginManager
from jitkit.pipeline import Pipeline
from jitkit.storage.weights import load_into
from jitkit.training.compatibility import require_same_form


def load_initial_weights(pipeline: Pipeline, path: Path, manager: PluginManager) -> str:
    """Load the averaged weights of the model at `path` into a new network; return a description of them.

    Raises ManifestError if they would mean something else here, and InputError if they do not fit.
    """
    model = open_model(path, manager)
    other = model.components().manifest
    require_same_form(pipeline.manifest, other, path)
    load_into(pipeline.network, model.weights(), file=path)
    return f"{other.id}, {model.checkpoint.step} steps on {model.checkpoint.data.get('origin', 'unknown text')}"
