"""Calling the notification hooks of plugins, whose failures never stop a run."""

from __future__ import annotations

from collections.abc import Callable

from jitkit.discovery.loader import PluginManager
from jitkit.errors import Stopped


def notify_plugins(manager: PluginManager, hook: str, warn: Callable[[str], None], **facts: object) -> None:
    """Call a notification hook of every plugin with those `facts` that its function has as parameters.

    If a plugin fails, `warn` receives a message that names it, and the other plugins are still called.
    """
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            implementation.function(**{name: facts[name] for name in implementation.argnames})
        except Stopped:  # the user's second signal arrived while the plugin was running
            raise
        except Exception as error:
            warn(f"warning: plugin {implementation.plugin_name}, {hook}: {type(error).__name__}: {error}")
