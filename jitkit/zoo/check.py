"""The JSON Schema of manifests, and a check that a recipe builds with the stated number of parameters."""

from __future__ import annotations

from typing import Any

from jitkit.assembly import TABLES, Components, assemble
from jitkit.component import Component
from jitkit.discovery.registry import Registry
from jitkit.errors import ManifestError
from jitkit.manifest.schema import Manifest


def manifest_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest. It uses only `$defs`, `$ref`, `oneOf`, `const` and bounds."""
    schema = Manifest.model_json_schema()
    for table in TABLES:
        members = sorted(registry.catalog(table).members(), key=lambda member: member.name)
        schema["properties"][table] = {"oneOf": [_component_schema(member) for member in members]}
    schema["$defs"].pop("Use", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _component_schema(member: type[Component]) -> dict[str, Any]:
    schema = member.model_json_schema()
    use = {"const": member.name, "description": member.summary()}
    return {
        **schema,
        "title": member.name,
        "properties": {"use": use, **schema.get("properties", {})},
        "required": ["use", *schema.get("required", [])],
        "additionalProperties": False,
    }


def check_recipe(components: Components) -> dict[str, Any]:
    """Build a recipe on the `meta` device, which needs no memory, and return its sizes.

    Raises ManifestError if its components do not fit together or the stated number of parameters is wrong.
    """
    manifest, pipeline = components.manifest, assemble(components, device="meta")
    if manifest.num_parameters not in (None, pipeline.num_parameters):
        found, expected = f"{manifest.num_parameters}", f"{pipeline.num_parameters}"
        problem = manifest.source.problem(("num_parameters",), found, expected)
        raise ManifestError(problems=[problem])
    return {
        "id": manifest.id,
        "parameters": pipeline.num_parameters,
        "vocab_size": pipeline.tokenizer.vocab_size,
        "image_size": pipeline.codec.image_size,
        "pixels_per_token": pipeline.codec.pixels_per_token,
        "tokens_per_image": pipeline.codec.capacity,
        "margin": round(pipeline.codec.margin, 6),
    }
