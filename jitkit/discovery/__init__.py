"""Finding plugins and their components."""

from jitkit.discovery.loader import Failure, Origin, PluginManager, create_plugin_manager
from jitkit.discovery.registry import Catalog, Registry

__all__ = ["Catalog", "Failure", "Origin", "PluginManager", "Registry", "create_plugin_manager"]
