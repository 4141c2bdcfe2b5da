"""All components of the loaded plugins. Each catalog is collected on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitkit.discovery.catalog import Catalog
from jitkit.discovery.loader import PluginManager
from jitkit.errors import PluginError
from jitkit.kinds import KIND_OF_TABLE

if TYPE_CHECKING:
    from jitkit.component import Component


class Registry:
    """Catalogs by manifest table ("codec", "schedule", ...)."""

    def __init__(self, manager: PluginManager) -> None:
        self.manager = manager
        self._catalogs: dict[str, Catalog] = {}

    def catalog(self, table: str) -> Catalog:
        """Return the catalog of a table. Raises PluginError if a plugin's hook fails or two components share a name."""
        if table not in self._catalogs:
            self._catalogs[table] = self._collect(table)
        return self._catalogs[table]

    def component(self, table: str, name: str) -> type[Component]:
        """Return the class for `use = name` in `table`. Raises PluginError, with the plugins that failed to load."""
        member = self.catalog(table).find(name)
        if member is None:
            raise PluginError(problems=[self.catalog(table).unknown(name), *self.manager.load_problems()])
        return member

    def first_with(self, table: str, attribute: str, value: object = True) -> type[Component] | None:
        """Return the first component of a table whose class attribute `attribute` equals `value`; jitkit's own come first."""
        members = self.catalog(table).members()
        return next((member for member in members if getattr(member, attribute, None) == value), None)

    def _collect(self, table: str) -> Catalog:
        catalog = Catalog(KIND_OF_TABLE[table])
        for implementation in getattr(self.manager.hook, catalog.kind.hook).get_hookimpls():
            owner = str(self.manager.origins.get(implementation.plugin_name, implementation.plugin_name))
            try:
                members = list(implementation.function())
            except Exception as error:
                raise PluginError(
                    f"{type(error).__name__}: {error}",
                    "a list of component classes",
                    file=f"plugin {owner}",
                    field=catalog.kind.hook,
                ) from error
            for member in members:
                catalog.add(member, owner)
        return catalog
