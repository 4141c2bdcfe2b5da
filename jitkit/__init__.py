"""jitkit: diffusion language models in pixel space.

::

    model = jitkit.load("jit-nano")
    for text in model.generate(3, prompt="The value of "):
        print(text)

Public names, imported when first used, so that ``import jitkit`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jitkit.openmp import wait_briefly

if TYPE_CHECKING:
    from jitkit.api.evaluate import evaluate
    from jitkit.api.model import Model, load
    from jitkit.api.score import Score
    from jitkit.api.train import train
    from jitkit.checkpoints.open import load_pipeline
    from jitkit.codecs.codebook import CodebookCodec
    from jitkit.component import Component
    from jitkit.errors import JitkitError
    from jitkit.generated import Generated
    from jitkit.hookspecs import hookimpl
    from jitkit.models import build_jit_model, load_pretrained_jit
    from jitkit.storage.picture import Picture
    from jitkit.training.callbacks import Values
    from jitkit.training.run import Result

__version__ = "0.2.0"  # the only place where it is written; packages are built from it

_HOMES = {
    "CodebookCodec": "jitkit.codecs.codebook",
    "Component": "jitkit.component",
    "Generated": "jitkit.generated",
    "JitkitError": "jitkit.errors",
    "Model": "jitkit.api.model",
    "Picture": "jitkit.storage.picture",
    "Result": "jitkit.training.run",
    "Score": "jitkit.api.score",
    "Values": "jitkit.training.callbacks",
    "build_jit_model": "jitkit.models",
    "evaluate": "jitkit.api.evaluate",
    "hookimpl": "jitkit.hookspecs",
    "load": "jitkit.api.model",
    "load_pipeline": "jitkit.checkpoints.open",
    "load_pretrained_jit": "jitkit.models",
    "train": "jitkit.api.train",
}

__all__ = [
    "CodebookCodec",
    "Component",
    "Generated",
    "JitkitError",
    "Model",
    "Picture",
    "Result",
    "Score",
    "Values",
    "__version__",
    "build_jit_model",
    "evaluate",
    "hookimpl",
    "load",
    "load_pipeline",
    "load_pretrained_jit",
    "train",
]

wait_briefly()  # before anything imports torch


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jitkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
