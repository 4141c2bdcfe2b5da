"""The JSON Schema of manifests, including the installed components."""

from __future__ import annotations

from typing import Any

from jitkit.assembly import TABLES
from jitkit.component import Component
from jitkit.discovery.registry import Registry
from jitkit.manifest.schema import Manifest


def manifest_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest. It uses only `$defs`, `$ref`, `oneOf`, `const` and bounds."""
    schema = Manifest.model_json_schema()
    for table in TABLES:
        catalog = registry.catalog(table)
        members = [catalog.find(name) for name in catalog.names()]
        schema["properties"][table] = {"oneOf": [_component_schema(member) for member in members if member]}
    schema["$defs"].pop("Use", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _component_schema(member: type[Component]) -> dict[str, Any]:
    schema = member.model_json_schema()
    properties = {
        "use": {"const": member.name, "description": member.summary()},
        **schema.get("properties", {}),
    }
    return {
        **schema,
        "title": member.name,
        "properties": properties,
        "required": ["use", *schema.get("required", [])],
        "additionalProperties": False,
    }
