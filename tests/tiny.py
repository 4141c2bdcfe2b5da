"""A whole model of a few thousand parameters, for tests."""

from __future__ import annotations

from pathlib import Path

from jitkit.assembly import Components, resolve
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.files import Files
from jitkit.manifest import parse_manifest

TINY = """
schema_version = 1
id = "tiny"
summary = "A model of a few thousand parameters"

[tokenizer]
use = "bytes"

[codec]
use = "code"
numbers = 48

[backbone]
use = "jit"
image_size = 16
patch_size = 4
embed_dim = 32
depth = 1
num_heads = 2

[schedule]
use = "flow"

[objective]
use = "flow"
self_conditioning = 0.5
known = 0.5

[sampler]
use = "euler"
steps = 3

[data]
use = "python-docs"

[train]
max_steps = 2
"""


def resolved(*overrides: str, text: str = TINY, folder: Path = Path()) -> Components:
    """Return the components of `text` under overrides."""
    return resolve(parse_manifest(text, "tiny.toml", overrides), Registry(create_plugin_manager()), Files(folder))
