"""Checking that a recipe builds with the stated number of parameters."""

from __future__ import annotations

from typing import Any

from jitkit.assembly import Components, assemble
from jitkit.errors import ManifestError


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
