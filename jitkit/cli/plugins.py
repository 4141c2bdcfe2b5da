"""`jitkit plugins`: list installed plugins, run their conformance tests, and create new ones."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from jitkit.cli.completion import complete_kind
from jitkit.cli.console import note, out, print_json, print_lines, print_result, print_summary, working
from jitkit.cli.options import JsonOption, out_option
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.discovery.descriptions import describe
from jitkit.errors import PluginError, Problem
from jitkit.kinds import KIND_OF_WORD, KINDS


def list_plugins(
    parts: Annotated[bool, typer.Option("--parts", help="Also list their components.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the installed plugins and the hooks they implement.

    Example: jitkit plugins list --parts
    """
    manager = create_plugin_manager()
    registry = Registry(manager) if parts else None
    rows: list[dict[str, Any]] = []
    for name, origin in manager.origins.items():
        plugin = manager.get_plugin(name)
        row = {
            "plugin": getattr(plugin, "__name__", name),
            "distribution": origin.distribution,
            "version": origin.version,
            "entry_point": origin.entry_point,
            "hooks": sorted(caller.name for caller in manager.get_hookcallers(plugin) or []),
        }
        rows.append({**row, "parts": _components_of(row, registry)} if registry else row)
    failures = [{"plugin": str(failure.origin), "reason": failure.reason} for failure in manager.failures]
    if as_json:
        print_json({"schema": "jitkit.plugins/1", "plugins": rows, "failures": failures})
        return
    for row in rows:
        out.print(f"{row['plugin']}  ({row['distribution']} {row['version']})  {', '.join(row['hooks'])}")
        print_lines(f"    {kind}: {', '.join(names)}" for kind, names in row.get("parts", {}).items())
    for failure in manager.failures:
        note(f"warning: {failure.error()}")


def _components_of(row: dict[str, Any], registry: Registry) -> dict[str, list[str]]:
    """Return the names of a plugin's components by kind."""
    owner = f"{row['distribution']} {row['version']} (entry point {row['entry_point']})"
    owned: dict[str, list[str]] = {}
    for kind in (kind for kind in KINDS if kind.hook in row["hooks"]):
        owned[kind.name] = [one.name for one in describe(registry, kind.table) if one.plugin == owner]
    return {kind: names for kind, names in owned.items() if names}


def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Component names. Default: all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run conformance tests on components.

    Example: jitkit plugins check bits
    """
    from jitkit.testing import check_named

    manager = create_plugin_manager()
    if manager.failures and not names:
        raise PluginError(problems=manager.load_problems())
    with working("running conformance tests"):
        results = check_named(Registry(manager), names or None)
    lines = (
        f"{'BROKEN' if result.failure else 'ok':7}{result.kind} {result.component}: {result.requirement}"
        for result in results
    )
    document = {"schema": "jitkit.plugins-check/1", "laws": [result.as_json() for result in results]}
    print_result(document, as_json, lambda: print_lines(lines))
    problems = [
        Problem(f"a failed conformance test: {one.failure}", one.requirement, file=f"{one.kind} {one.component}")
        for one in results
        if one.failure
    ]
    if problems:
        raise PluginError(problems=problems)


def new(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KIND_OF_WORD)}.", autocompletion=complete_kind)
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the component in manifests.")],
    folder: Annotated[Path | None, out_option("FOLDER", "Where the package goes. Default: jitkit-NAME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a plugin: a package with a component that works, its tests, and its CI.

    Example: jitkit plugins new codec mine
    """
    from jitkit.scaffold.names import plugin_names
    from jitkit.scaffold.package import write_package

    names = plugin_names(kind, name, Registry(create_plugin_manager()))
    folder = folder or Path(names.distribution)
    document = {
        "schema": "jitkit.plugins-new/1",
        "distribution": names.distribution,
        "folder": str(folder),
        "files": write_package(names, folder),
    }
    lines = [
        f"wrote {folder}, with the {names.kind.name} in {names.module}/{names.kind.word}.py",
        f"next: pip install -e {shlex.quote(str(folder))} && jitkit plugins check {names.name}",
    ]
    print_summary(document, as_json, lambda: print_lines(lines))
