"""Manifest keys of older versions. A renamed key is read under its new name, a removed one only with its default value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jitkit.errors import ManifestError, Problem, shown
from jitkit.manifest.source import ManifestSource


class Removed(NamedTuple):
    """The default value that a removed key had, and the reason why the key is gone."""

    default: Any
    reason: str


RENAMED = {"objective.reading": "objective.token_posterior"}  # old dotted key -> new dotted key
REMOVED = {"train.x_prev": Removed("here", "'earlier' was removed because it made samples worse in our measurements.")}


def modernize(document: dict[str, Any], source: ManifestSource) -> list[str]:
    """Bring the keys of a parsed manifest up to date, in place; return one note for each renamed key.

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
    """Return recorded values by dotted key under the present names, without removed keys that had their default."""
    return {
        RENAMED.get(key, key): value
        for key, value in values.items()
        if key not in REMOVED or value != REMOVED[key].default
    }


def _table(document: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """Return the table that holds a dotted key, and the last part of the key; an empty table where there is none."""
    *tables, key = dotted.split(".")
    values: Any = document
    for name in tables:
        values = values.get(name) if isinstance(values, dict) else None
    return (values if isinstance(values, dict) else {}), key
