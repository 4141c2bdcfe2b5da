"""The components of the loaded plugins, by manifest table and name. Each catalog is collected on first use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jitkit.discovery.loader import PluginManager
from jitkit.errors import PluginError, Problem, did_you_mean, shown
from jitkit.kinds import KIND_OF_TABLE, Kind

if TYPE_CHECKING:
    from jitkit.component import Component


class Catalog:
    """Component classes of one kind by name, each with the plugin that provides it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._members: dict[str, tuple[type[Component], str]] = {}

    def add(self, member: type[Component], plugin: str) -> None:
        """Add a class of `plugin`. Raises PluginError if it is not a named Component or its name is taken."""
        from jitkit.component import Component

        is_component = isinstance(member, type) and issubclass(member, Component)
        if not is_component or not isinstance(getattr(member, "name", None), str):
            expected = "a subclass of jitkit.Component with a name"
            raise PluginError(shown(member), expected, file=f"plugin {plugin}", field=self.kind.hook)
        if member.name in self._members:
            other, owner = self._members[member.name]
            found = f"{shown(member.name)} twice: {_path(other)} in {owner} and {_path(member)} in {plugin}"
            hint = "Uninstall one of them, or list the plugins to load in JITKIT_PLUGINS."
            raise PluginError(f"{self.kind.name} {found}", "one plugin per name", hint=hint)
        self._members[member.name] = (member, plugin)

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._members)

    def members(self) -> list[type[Component]]:
        """Return all classes, in the order in which their plugins were loaded."""
        return [member for member, _ in self._members.values()]

    def plugin_of(self, name: str) -> str:
        """Return the plugin that provides `name`."""
        return self._members[name][1]

    def find(self, name: str) -> type[Component] | None:
        """Return the class called `name`, or None."""
        member = self._members.get(name)
        return member[0] if member else None

    def unknown(self, name: str) -> Problem:
        """Return the problem for an unknown name, with the closest known name as a hint."""
        expected = f"one of {', '.join(self.names())}" if self._members else f"an installed {self.kind.name}"
        return Problem(f"unknown {self.kind.name} {shown(name)}", expected, hint=did_you_mean(name, self._members))


def _path(member: type) -> str:
    return f"{member.__module__}.{member.__qualname__}"


class Registry:
    """Catalogs by manifest table ("codec", "schedule", ...)."""

    def __init__(self, manager: PluginManager) -> None:
        self.manager = manager
        self._catalogs: dict[str, Catalog] = {}

    def catalog(self, table: str) -> Catalog:
        """Return the catalog of a table. Raises PluginError if a plugin's hook fails or two components share a name."""
        if table not in self._catalogs:
            self._catalogs[table] = self._collect(KIND_OF_TABLE[table])
        return self._catalogs[table]

    def component(self, table: str, name: str, *, field: str | None = None) -> type[Component]:
        """Return the class for `use = name` in `table`.

        Raises PluginError about `field`, the option that gives the name, with the plugins that failed to load.
        """
        member = self.catalog(table).find(name)
        if member is None:
            unknown = replace(self.catalog(table).unknown(name), field=field)
            raise PluginError(problems=[unknown, *self.manager.load_problems()])
        return member

    def first_with(self, table: str, attribute: str, value: object = True) -> type[Component] | None:
        """Return the first component of a table whose class attribute `attribute` equals `value`; jitkit's own come first."""
        members = self.catalog(table).members()
        return next((member for member in members if getattr(member, attribute, None) == value), None)

    def _collect(self, kind: Kind) -> Catalog:
        catalog = Catalog(kind)
        for implementation in getattr(self.manager.hook, kind.hook).get_hookimpls():
            owner = str(self.manager.origins.get(implementation.plugin_name, implementation.plugin_name))
            try:
                members = list(implementation.function())
            except Exception as error:
                found, expected = f"{type(error).__name__}: {error}", "a list of component classes"
                raise PluginError(found, expected, file=f"plugin {owner}", field=kind.hook) from error
            for member in members:
                catalog.add(member, owner)
        return catalog
