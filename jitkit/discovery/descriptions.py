"""Names, summaries, and settings of components without importing them, which would import torch.

A plugin may have a file `components.json` in its package, written by `index_of`. It is used as long as the plugin's hook
names the classes that the file was made from; a hook that has changed since is called.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.errors import JitkitError
from jitkit.filesystem import read_bytes
from jitkit.kinds import KIND_OF_TABLE, KINDS

FILE = "components.json"


class Description(NamedTuple):
    """A component without its class."""

    name: str
    schema: Mapping[str, Any]  # the JSON Schema of its settings
    plugin: str

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return str(self.schema.get("description", "")).partition("\n")[0]

    @property
    def properties(self) -> dict[str, Any]:
        """The JSON Schema of each setting."""
        return dict(self.schema.get("properties", {}))


def describe(registry: Registry, table: str) -> list[Description]:
    """Return the components of a table by name. Imports them only if a plugin has no index, or an outdated one."""
    hook, found = KIND_OF_TABLE[table].hook, dict[str, Description]()
    for implementation in getattr(registry.manager.hook, hook).get_hookimpls():
        plugin = str(registry.manager.origins.get(implementation.plugin_name, implementation.plugin_name))
        index = _index_near(implementation.plugin).get(hook, {})
        components = index.get("components", {})
        if index.get("classes") != _classes(implementation.function) or found.keys() & components.keys():
            return _imported(registry, table)
        found |= {name: Description(name, schema, plugin) for name, schema in components.items()}
    return [found[name] for name in sorted(found)]


def _imported(registry: Registry, table: str) -> list[Description]:
    catalog = registry.catalog(table)
    names = catalog.names()
    return [
        Description(name, registry.component(table, name).model_json_schema(), catalog.plugin_of(name))
        for name in names
    ]


def index_of(manager: PluginManager, folder: Path) -> str:
    """Return the index of the plugins whose modules are in a folder."""
    index = {}
    for hook in (kind.hook for kind in KINDS):
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if _folder_of(implementation.plugin) == folder:
                members = implementation.function()
                components = {member.name: member.model_json_schema() for member in members}
                index[hook] = {"classes": _classes(implementation.function), "components": components}
    return json.dumps(index, indent=1) + "\n"


def _classes(function: object) -> list[str]:
    """Return the names in the code of a hook, among them those of the classes that it returns."""
    return sorted(set(function.__code__.co_names)) if isinstance(function, FunctionType) else []


def _folder_of(plugin: object) -> Path | None:
    """Return the folder of the package that a plugin's module belongs to, or None if it belongs to none."""
    package = sys.modules.get(plugin.__name__.partition(".")[0]) if isinstance(plugin, ModuleType) else None
    return Path(package.__path__[0]) if package is not None and hasattr(package, "__path__") else None


def _index_near(plugin: object) -> dict[str, Any]:
    folder = _folder_of(plugin)
    return _read(folder / FILE) if folder else {}


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path))
    except (JitkitError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
