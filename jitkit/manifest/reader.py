"""Reading a TOML file and the user's overrides as a `Manifest`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jitkit.errors import ManifestError, shown
from jitkit.manifest.problems import validate
from jitkit.manifest.renamed import RENAMED, modernize
from jitkit.manifest.schema import Manifest
from jitkit.manifest.source import ManifestSource


def read_manifest(path: Path, overrides: Sequence[str] = ()) -> Manifest:
    """Return the manifest in a file, with `overrides` ("train.lr=1e-3", values in TOML) applied.

    Raises ManifestError with every problem.
    """
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
    manifest = validate(Manifest, document, source)
    return manifest.from_source(source)


def override(document: dict[str, Any], text: str) -> str:
    """Apply one override "a.b=VALUE" to a document, in place, and return its key "a.b"."""
    dotted, equals, value = text.partition("=")
    *tables, key = (part.strip() for part in dotted.split("."))
    if not equals or not key or not all(tables):
        raise ManifestError(shown(text), "KEY=VALUE, as in train.lr=1e-3", file="--set")
    table: Any = document
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ManifestError(
                f"{shown(name)}, which is not a table", "a key such as train.lr", file="--set", field=dotted
            )
    table[key] = _value(value.strip())
    return ".".join([*tables, key])


def _value(text: str) -> Any:
    """Return `text` as a TOML value, or as a string if it is not one, so that quotes are optional."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    return document["value"] if list(document) == ["value"] else text
