"""Reading a TOML file and the user's overrides as a `Manifest`.

A key that was renamed is read under its new name. A key that was removed is only accepted with its default value. A length
of training (`LENGTHS`) among the overrides replaces those of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from jitkit.errors import ManifestError, Problem, RefusedError, is_unicode, shown
from jitkit.manifest.schema import LENGTHS, Manifest
from jitkit.manifest.source import MAX_KEY_PARTS, ManifestSource, line_of_long_key
from jitkit.manifest.validation import validate


class Removed(NamedTuple):
    """The default value that a removed key had, and the reason why the key is gone."""

    default: Any
    reason: str


RENAMED = {"objective.reading": "objective.token_posterior"}  # old dotted key -> new dotted key
REMOVED = {"train.x_prev": Removed("here", "'earlier' was removed because it made samples worse in our measurements.")}


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> Manifest:
    """Return the manifest in a file, with `overrides` ("train.lr=1e-3") applied. Raises ManifestError with every problem."""
    return _manifest(ManifestSource.read(path), overrides)


def parse_manifest(text: str, origin: str, overrides: Sequence[str] = ()) -> Manifest:
    """Return the manifest in a text from `origin`, for example a checkpoint."""
    return _manifest(ManifestSource(origin, text), overrides)


def _manifest(source: ManifestSource, overrides: Sequence[str]) -> Manifest:
    document = source.parse()
    notes = modernize(document, source)
    replaced = {override(document, text) for text in overrides}
    source = replace(source, overridden=frozenset(replaced))
    notes += modernize(document, source)
    overridden = frozenset(RENAMED.get(key, key) for key in replaced)
    source = replace(source, overridden=overridden, notes=tuple(dict.fromkeys(notes)))
    _replace_length(document, overridden)
    manifest = validate(Manifest, document, source)
    return manifest.from_source(source)


def override(document: dict[str, Any], text: str) -> str:
    """Apply one override "a.b=VALUE" to a document, in place, and return its key "a.b"."""
    dotted, equals, value = text.partition("=")
    *tables, key = (part.strip() for part in dotted.split("."))
    if not equals or not key or not all(tables):
        raise ManifestError(shown(text), "KEY=VALUE, as in train.lr=1e-3", file="--set")
    if not is_unicode(text):
        raise ManifestError(shown(text), "text in UTF-8", file="--set")
    if line_of_long_key(text) is not None:
        raise RefusedError(f"a key of more than {MAX_KEY_PARTS} parts", "a shorter key", file="--set")
    table: Any = document
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            found = f"{shown(name)}, which is not a table"
            raise ManifestError(found, "a key such as train.lr", file="--set", field=dotted)
    table[key] = _value(value.strip())
    return ".".join([*tables, key])


def _replace_length(document: dict[str, Any], overridden: Collection[str]) -> None:
    """Drop the lengths of training that a manifest gives if an override gives another, in place."""
    if any(f"train.{key}" in overridden for key in LENGTHS):
        train, _ = _table(document, "train.epochs")
        for key in LENGTHS:
            if f"train.{key}" not in overridden:
                train.pop(key, None)


def _value(text: str) -> Any:
    """Return `text` as a TOML value, or as a string if it is not one, so that quotes are optional."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    return document["value"] if list(document) == ["value"] else text


def modernize(document: dict[str, Any], source: ManifestSource) -> list[str]:
    """Bring the keys of a parsed manifest up to date, in place. Return one note for each renamed key.

    Raises ManifestError where a removed key has a value other than its default.
    """
    notes, problems = [], list[Problem]()
    for old, new in RENAMED.items():
        values, key = _table(document, old)
        if key in values:
            target, name = _table(document, new)
            target[name] = values.pop(key)
            notes.append(f"{source.origin}: {old} is now called {new}")
    for old, removed in REMOVED.items():
        values, key = _table(document, old)
        found = values.pop(key, removed.default)
        if found != removed.default:
            location = tuple(old.split("."))
            problems.append(source.problem(location, shown(found), "no such key", removed.reason))
    if problems:
        raise ManifestError(problems=problems)
    return notes


def current_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded values by dotted key under the current names, without removed keys that had their default."""
    kept = {key: value for key, value in values.items() if key not in REMOVED or value != REMOVED[key].default}
    return {RENAMED.get(key, key): value for key, value in kept.items()}


def _table(document: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """Return the table that holds a dotted key (an empty one if there is none), and the last part of the key."""
    *tables, key = dotted.split(".")
    values: Any = document
    for name in tables:
        values = values.get(name) if isinstance(values, dict) else None
    return (values if isinstance(values, dict) else {}), key
