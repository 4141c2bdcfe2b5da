"""Finding plugins and their components."""

from jitkit.discovery.catalog import Catalog
from jitkit.discovery.loader import Failure, Origin, PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry

__all__ = ["Catalog", "Failure", "Origin", "PluginManager", "Registry", "create_plugin_manager"]
