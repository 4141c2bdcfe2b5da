"""Checking that a manifest resolves, builds and is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jitkit.assembly import assemble, resolve
from jitkit.discovery import PluginManager, Registry
from jitkit.errors import ManifestError
from jitkit.files import Files
from jitkit.manifest import read_manifest
from jitkit.manifest.problems import at


def check_manifest(path: Path, manager: PluginManager) -> dict[str, Any]:
    """Return the facts of a manifest whose network is built on the `meta` device (no memory, no numbers).

    Raises ManifestError when a name, an option, the parts' fit or the stated parameter count is wrong.
    """
    manifest = read_manifest(path)
    pipeline = assemble(resolve(manifest, Registry(manager), Files(path.parent)), device="meta")
    num_parameters = sum(parameter.numel() for parameter in pipeline.network.parameters())
    if manifest.num_parameters not in (None, num_parameters):
        problem = at(manifest.source, ("num_parameters",), f"{manifest.num_parameters}", f"{num_parameters}")
        raise ManifestError(problems=[problem])
    return {
        "id": manifest.id,
        "parameters": num_parameters,
        "vocab_size": pipeline.tokenizer.vocab_size,
        "image_size": pipeline.codec.image_size,
        "pixels_per_token": pipeline.codec.pixels_per_token,
        "tokens_per_image": pipeline.codec.capacity,
        "margin": round(pipeline.codec.margin, 6),
    }
