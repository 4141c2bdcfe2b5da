"""Finding plugins and their components.

`Catalog` and `Registry` are imported on first use, because commands such as `--help` need only the loader.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jitkit.discovery.loader import Failure, Origin, PluginManager, create_plugin_manager

if TYPE_CHECKING:
    from jitkit.discovery.catalog import Catalog
    from jitkit.discovery.registry import Registry

__all__ = ["Catalog", "Failure", "Origin", "PluginManager", "Registry", "create_plugin_manager"]

_HOMES = {"Catalog": "jitkit.discovery.catalog", "Registry": "jitkit.discovery.registry"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jitkit.discovery' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
