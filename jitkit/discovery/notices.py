"""Telling plugins what happened; what they make of it harms nobody."""

from __future__ import annotations

from collections.abc import Callable

from jitkit.discovery.loader import PluginManager
from jitkit.errors import Stopped


def give_notice(manager: PluginManager, hook: str, warn: Callable[[str], None], **facts: object) -> None:
    """Call a notice hook of every plugin, each on its own, with those `facts` that it asks for.

    A plugin that fails is named through `warn`, and the others are told all the same.
    """
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            implementation.function(**{name: facts[name] for name in implementation.argnames})
        except Stopped:  # the user's second signal came while the plugin was at work
            raise
        except Exception as error:
            warn(f"warning: plugin {implementation.plugin_name}, {hook}: {type(error).__name__}: {error}")
