"""Every number of a manifest has a range, so that an impossible one is an error about its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.kinds import KINDS
from jitkit.manifest.schema import Manifest

REGISTRY = Registry(create_plugin_manager())
MODELS = {"manifest": Manifest} | {
    f"{kind.table}: {member.name}": member for kind in KINDS for member in REGISTRY.catalog(kind.table).members()
}


def numbers(schema: dict[str, Any], definitions: dict[str, Any], key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the key and JSON schema of each number in a schema."""
    if "$ref" in schema:
        yield from numbers(definitions[schema["$ref"].rpartition("/")[2]], definitions, key)
    parts = [one for name in ("anyOf", "allOf", "prefixItems") for one in schema.get(name, [])]
    for part in [*parts, *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]:
        yield from numbers(part, definitions, key)
    if schema.get("type") in {"number", "integer"} and "const" not in schema:
        yield key, schema
    for name, part in schema.get("properties", {}).items():
        yield from numbers(part, definitions, f"{key}.{name}".lstrip("."))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_number_has_a_range(model: Any) -> None:
    schema = model.model_json_schema()
    for key, number in numbers(schema, schema.get("$defs", {})):
        if key == "weights.metrics":  # measured, and only shown
            continue
        assert {"minimum", "exclusiveMinimum"} & number.keys(), f"{key} has no smallest value"
        if number["type"] == "number":
            assert {"maximum", "exclusiveMaximum"} & number.keys(), f"{key} has no largest value"
