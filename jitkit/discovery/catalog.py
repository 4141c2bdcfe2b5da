"""The components of one kind, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitkit.errors import PluginError, Problem, did_you_mean, shown
from jitkit.kinds import Kind

if TYPE_CHECKING:  # pydantic is slow to import, and `--help` does not need it
    from jitkit.component import Component


class Catalog:
    """Component classes of one kind by name, each with the plugin that provides it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._members: dict[str, tuple[type[Component], str]] = {}

    def add(self, member: type[Component], plugin: str) -> None:
        """Add a class of `plugin`. Raises PluginError if it is not a named Component or its name is taken."""
        from jitkit.component import Component

        if not (
            isinstance(member, type) and issubclass(member, Component) and isinstance(getattr(member, "name", 0), str)
        ):
            raise PluginError(
                shown(member),
                "a subclass of jitkit.Component with a name",
                file=f"plugin {plugin}",
                field=self.kind.hook,
            )
        if member.name in self._members:
            other, owner = self._members[member.name]
            raise PluginError(
                f"{self.kind.name} {shown(member.name)} twice: {_path(other)} in {owner} and {_path(member)} in {plugin}",
                "one plugin per name",
                hint="Uninstall one of them, or list the plugins to load in JITKIT_PLUGINS.",
            )
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
        return Problem(
            f"unknown {self.kind.name} {shown(name)}",
            f"one of {', '.join(self.names())}" if self._members else f"an installed {self.kind.name}",
            hint=did_you_mean(name, self._members),
        )


def _path(member: type) -> str:
    return f"{member.__module__}.{member.__qualname__}"
