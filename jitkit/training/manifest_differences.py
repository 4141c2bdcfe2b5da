"""Comparing manifests: what may differ between those of a run and of a checkpoint that it uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from jitkit.errors import ManifestError, Problem, shown
from jitkit.manifest.schema import Manifest

# What may change when a run is resumed: its length, housekeeping, memory use, descriptions, and what comes after training.
FREE = {
    ("summary",),
    ("num_parameters",),
    ("weights",),
    ("eval",),
    ("data", "path"),  # the text itself must be the same: see `resume.check_resume`
    ("data", "column"),
    ("data", "encoding"),
    ("data", "nulls"),
    ("train", "epochs"),
    ("train", "max_steps"),
    ("train", "minutes"),
    ("train", "validate_every"),
    ("train", "validate_steps"),
    ("train", "checkpoint_every"),
    ("train", "checkpoint_minutes"),
    ("train", "recompute"),  # gradients are equal bit for bit
    ("train", "keep"),
    ("train", "trackers"),
    ("train", "accumulate"),  # only the order of sums
    ("parallel",),
}

FORM = ("tokenizer", "codec", "backbone")  # other weights would mean something else: colors of another codec
PICTURES = ("tokenizer", "codec", "backbone.image_size", "backbone.patch_size")  # a text is encoded as the same image


def require_same(manifest: Manifest, other: Manifest, path: Path, keys: Collection[str] = ()) -> None:
    """Raise ManifestError, naming each key, if a run of `manifest` cannot use the checkpoint of `other` at `path`.

    `keys` restricts the comparison to some tables and keys. Keys in `FREE` may differ.
    """
    problems = [
        problem
        for location, problem in differences(manifest, other.model_dump(mode="json"), str(path))
        if not keys or location[0] in keys or ".".join(location[:2]) in keys
    ]
    if problems:
        raise ManifestError(problems=problems)


def differences(
    manifest: Manifest, expected: dict[str, Any], where: str, free: Collection[tuple[str, ...]] = FREE
) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """Yield the location of each key, except those in `free`, that differs from a manifest as JSON, and the problem."""
    for location, ours, theirs in _differences(manifest.model_dump(mode="json"), expected, (), free):
        yield location, manifest.source.problem(location, _shown(ours), f"{_shown(theirs)}, as in {where}")


def _differences(
    found: dict[str, Any], expected: dict[str, Any], table: tuple[str, ...], free: Collection[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for key in sorted(found.keys() | expected.keys()):
        location, ours, theirs = (*table, key), found.get(key), expected.get(key)
        if location in free or ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _differences(ours, theirs, location, free)
        else:
            yield location, ours, theirs


def _shown(value: Any) -> str:
    return "nothing" if value is None else shown(value)
