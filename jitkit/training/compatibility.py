"""Comparing manifests: which keys must be equal to continue a run, to start from a model's weights, or to distill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jitkit.errors import ManifestError, shown
from jitkit.manifest.schema import Manifest

# What may change when a run is resumed: its length, housekeeping, memory use, descriptions, and what comes after training.
FREE = {
    ("summary",),
    ("num_parameters",),
    ("weights",),
    ("eval",),
    ("data", "path"),  # the text itself must be the same: see `require_same_data`
    ("train", "epochs"),
    ("train", "max_steps"),
    ("train", "validate_every"),
    ("train", "checkpoint_every"),
    ("train", "recompute"),  # gradients are equal bit for bit
    ("train", "keep"),
    ("train", "trackers"),
}


def require_same_recipe(manifest: Manifest, other: Manifest, path: Path) -> None:
    """Raise ManifestError, naming each key, if a run cannot be continued from the checkpoint at `path`."""
    _require_equal(manifest, manifest.model_dump(mode="json"), other.model_dump(mode="json"), path)


def require_same_form(manifest: Manifest, other: Manifest, path: Path) -> None:
    """Raise ManifestError, naming each key, if the weights of another model would mean something else here.

    A network draws the colors of its own codec for its own tokenizer. How it is trained may differ.
    """
    ours, theirs = (
        {table: one.model_dump(mode="json")[table] for table in ("tokenizer", "codec", "backbone")}
        for one in (manifest, other)
    )
    _require_equal(manifest, ours, theirs, path)


def require_same_pictures(manifest: Manifest, other: Manifest, path: Path) -> None:
    """Raise ManifestError, naming each key, if another model encodes a text as another image."""
    size = ("image_size", "patch_size")
    ours, theirs = (
        {table: dump[table] for table in ("tokenizer", "codec")}
        | {"backbone": {key: dump["backbone"].get(key) for key in size}}
        for dump in (manifest.model_dump(mode="json"), other.model_dump(mode="json"))
    )
    _require_equal(manifest, ours, theirs, path)


def _require_equal(manifest: Manifest, found: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    problems = [
        manifest.source.problem(location, _shown(ours), f"{_shown(theirs)}, as in {path}")
        for location, ours, theirs in _differences(found, expected)
    ]
    if problems:
        raise ManifestError(problems=problems)


def _differences(
    found: dict[str, Any], expected: dict[str, Any], table: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for key in sorted(found.keys() | expected.keys()):
        location, ours, theirs = (*table, key), found.get(key), expected.get(key)
        if location in FREE or ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _differences(ours, theirs, location)
        else:
            yield location, ours, theirs


def _shown(value: Any) -> str:
    return "nothing" if value is None else shown(value)
