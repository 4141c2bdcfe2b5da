"""jitkit: diffusion language models in pixel space.

Public names, imported when first used, so that ``import jitkit`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitkit.checkpoints.open import load_pipeline
    from jitkit.codecs.codebook import CodebookCodec
    from jitkit.component import Component
    from jitkit.hookspecs import hookimpl
    from jitkit.models import build_jit_model, load_pretrained_jit

__all__ = ["CodebookCodec", "Component", "build_jit_model", "hookimpl", "load_pipeline", "load_pretrained_jit"]

_HOMES = {
    "CodebookCodec": "jitkit.codecs.codebook",
    "Component": "jitkit.component",
    "build_jit_model": "jitkit.models",
    "hookimpl": "jitkit.hookspecs",
    "load_pipeline": "jitkit.checkpoints.open",
    "load_pretrained_jit": "jitkit.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jitkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
