"""The JSON Schema of manifests. Imports no component whose plugin has an index."""

from __future__ import annotations

from typing import Any

from jitkit.discovery.descriptions import Description, describe
from jitkit.discovery.registry import Registry
from jitkit.kinds import KINDS
from jitkit.manifest.schema import Manifest


def manifest_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest. It uses only `$defs`, `$ref`, `oneOf`, `const` and bounds."""
    schema = Manifest.model_json_schema()
    for table in (kind.table for kind in KINDS if kind.table in schema["properties"]):
        schema["properties"][table] = {"oneOf": [_component_schema(one) for one in describe(registry, table)]}
    trackers = [_component_schema(one) for one in describe(registry, "trackers")]
    schema["$defs"]["Train"]["properties"]["trackers"]["items"] = {"oneOf": [{"type": "string"}, *trackers]}
    schema["$defs"].pop("Use", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _component_schema(component: Description) -> dict[str, Any]:
    schema = component.schema
    use = {"const": component.name, "description": component.summary}
    return {
        **schema,
        "title": component.name,
        "properties": {"use": use, **schema.get("properties", {})},
        "required": ["use", *schema.get("required", [])],
        "additionalProperties": False,
    }
