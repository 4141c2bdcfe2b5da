"""Removing from a model to share where files are on this machine. The name of a text's file or folder stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jitkit.manifest.schema import Manifest

PATH = "path"  # the key by which data sources, and no other components, name files that stay on this machine
_FOLDERS = re.compile(rf"(\b{PATH} = )[^=]*[/\\](?=[^/\\,)])")  # in a description such as "text (path = /home/x.txt)"


def without_folders(manifest: Manifest) -> Manifest:
    """Return a manifest that names the text, and a prepared one, without their folders, and no place for copies."""
    options: dict[str, Any] = dict(manifest.data.options)
    if isinstance(path := options.get(PATH), str):
        options[PATH] = _name(path)
    changes = {
        "data": type(manifest.data)(use=manifest.data.use, **options),
        "train": manifest.train.model_copy(update={"prepared": _name(manifest.train.prepared)}),
        "parallel": manifest.parallel.model_copy(update={"remote": ""}),
    }
    return manifest.model_copy(update=changes)


def described_without_folders(data: Mapping[str, str], manifest: Manifest) -> dict[str, str]:
    """Return what a checkpoint records about its text and the models it began with, without folders.

    `manifest` is the checkpoint's own, whose path is known exactly. Paths in other descriptions are found by their form.
    """
    path = str(manifest.data.options.get(PATH) or "")
    own = {key: value.replace(path, _name(path)) if path else value for key, value in data.items()}
    return {key: _FOLDERS.sub(r"\1", value) for key, value in own.items()}


def _name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
