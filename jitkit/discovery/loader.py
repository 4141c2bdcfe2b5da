"""Loading the entry points of the group `jitkit` into a new plugin manager. A broken plugin does not affect the others.

pluggy's own loader is not used: it silently drops a second entry point of the same name, and one failing import would stop
every command.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from types import FrameType, ModuleType

import pluggy

from jitkit import hookspecs
from jitkit.errors import PluginError, Problem, Stopped

GROUP = "jitkit"
IMPORT_SECONDS = 30.0  # maximum time for the import of a plugin, so that one that hangs does not stop every command
ALLOW_LIST = "JITKIT_PLUGINS"  # environment: comma-separated distributions to load besides jitkit; "" means none


@dataclass(frozen=True)
class Origin:
    """The distribution and entry point of a plugin."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (entry point {self.entry_point})"


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be loaded, and the reason."""

    origin: Origin
    reason: str

    def error(self) -> PluginError:
        """Return the error for a command that needs this plugin."""
        hint = f"Reinstall it, or remove it: pip uninstall {self.origin.distribution}"
        return PluginError(self.reason, "a plugin that loads", file=f"plugin {self.origin}", hint=hint)


class PluginManager(pluggy.PluginManager):
    """A plugin manager that records the origins of its plugins and the failures to load them, and calls notification hooks."""

    def __init__(self) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self.origins: dict[str, Origin] = {}
        self.failures: list[Failure] = []
        self.excluded: set[str] = set()  # installed distributions that JITKIT_PLUGINS leaves out

    def load_problems(self) -> list[Problem]:
        """Return one problem for each plugin that could not be loaded."""
        return [failure.error().problems[0] for failure in self.failures]

    def notify(self, hook: str, warn: Callable[[str], None], **facts: object) -> None:
        """Call a notification hook of every plugin with those `facts` that its function has as parameters.

        If a plugin fails, `warn` receives a message that names it, and the other plugins are still called.
        """
        for implementation in getattr(self.hook, hook).get_hookimpls():
            try:
                implementation.function(**{name: facts[name] for name in implementation.argnames})
            except Stopped:  # the user's second signal arrived while the plugin was running
                raise
            except Exception as error:
                warn(f"warning: plugin {implementation.plugin_name}, {hook}: {type(error).__name__}: {error}")


def create_plugin_manager(plugins: Iterable[object] = (), *, autoload: bool = True) -> PluginManager:
    """Return a new manager with the installed plugins (unless `autoload` is false) and the given ones.

    Installed plugins that fail to load are listed in `.failures`. `plugins` are modules or objects with hook
    implementations, registered last; if one is invalid, PluginError is raised.
    """
    manager = PluginManager()
    if autoload:
        for origin, entry in _installed():
            if _allowed(origin.distribution):
                _load(manager, origin, entry)
            else:
                manager.excluded.add(origin.distribution)
    for plugin in plugins:
        name = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__name__
        reason = _register(manager, plugin, f"{name}@{id(plugin):x}")
        if reason:
            raise PluginError(reason, "hooks as in jitkit.hookspecs", file=f"plugin {name}")
    return manager


def _installed() -> list[tuple[Origin, EntryPoint]]:
    """Return the entry points of all distributions with their origins, jitkit's own first."""
    metadata = cache(attrgetter("metadata"))  # would be parsed again on every access
    found = []
    for entry in entry_points(group=GROUP):
        facts = metadata(entry.dist) if entry.dist else {"Name": "unknown distribution", "Version": "?"}
        found.append((Origin(facts["Name"], facts["Version"], entry.name), entry))
    return sorted(found, key=lambda pair: (pair[0].distribution != "jitkit", pair[1].name))


def _allowed(distribution: str) -> bool:
    allow_list = os.environ.get(ALLOW_LIST)
    return allow_list is None or distribution == "jitkit" or distribution in allow_list.split(",")


def _load(manager: PluginManager, origin: Origin, entry: EntryPoint) -> None:
    """Import and register one entry point. Anything that it raises becomes a `Failure`."""
    name = f"{origin.distribution}:{entry.name}"
    if name in manager.origins:
        reason = "a second entry point of the same name in the same distribution"
    else:
        try:
            with _time_limit(IMPORT_SECONDS):
                plugin = entry.load()
            reason = _register(manager, plugin, name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # including sys.exit during import
            reason = f"{type(error).__name__}: {error}"
    if reason:
        manager.failures.append(Failure(origin, reason))
    else:
        manager.origins[name] = origin


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after `seconds`. Only the main thread can do so, and only if it has no alarm of its own."""
    alarm = getattr(signal, "SIGALRM", None)  # absent on Windows
    in_main_thread = threading.current_thread() is threading.main_thread()
    if alarm is None or not in_main_thread or signal.getsignal(alarm) != signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise TimeoutError(f"its import does not end within {seconds:g} s")

    signal.signal(alarm, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(alarm, signal.SIG_DFL)


def _register(manager: PluginManager, plugin: object, name: str) -> str:
    """Register `plugin` and return "". If it is invalid, unregister it and return the reason."""
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        if manager.has_plugin(name):
            manager.unregister(plugin)
        return f"{type(error).__name__}: {error}".partition("\n")[0].partition(" in plugin ")[0]
    return ""
