"""`jitkit plugins`: what is installed, and does it keep its contract."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jitkit.cli.console import JsonOption, err, out, print_json

app = typer.Typer(help="List and check plugins.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="plugins")


@app.command("list")
def list_plugins(
    parts: Annotated[bool, typer.Option("--parts", help="List every part they offer as well (imports them).")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the installed plugins and what they hook into.

    Example: jitkit plugins list --parts
    """
    from jitkit.discovery import create_plugin_manager

    manager = create_plugin_manager()
    rows: list[dict[str, Any]] = []
    for name, origin in manager.origins.items():
        plugin = manager.get_plugin(name)
        callers = manager.get_hookcallers(plugin) or []
        rows.append(
            {
                "plugin": getattr(plugin, "__name__", name),
                "distribution": origin.distribution,
                "version": origin.version,
                "entry_point": origin.entry_point,
                "hooks": sorted(caller.name for caller in callers),
            }
        )
    if parts:
        _add_parts(rows, manager)
    failures = [{"plugin": str(failure.origin), "reason": failure.reason} for failure in manager.failures]
    if as_json:
        print_json({"schema": "jitkit.plugins/1", "plugins": rows, "failures": failures})
        return
    for row in rows:
        out.print(f"{row['plugin']}  ({row['distribution']} {row['version']})  {', '.join(row['hooks'])}")
        for kind, names in row.get("parts", {}).items():
            out.print(f"    {kind}: {', '.join(names)}")
    for failure in manager.failures:
        err.print(f"jitkit: warning: {failure.error()}")


def _add_parts(rows: list[dict[str, Any]], manager: Any) -> None:
    from jitkit.discovery import Registry
    from jitkit.kinds import KINDS

    registry = Registry(manager)
    for row in rows:
        owner = f"{row['distribution']} {row['version']} (entry point {row['entry_point']})"
        row["parts"] = {
            kind.name: names
            for kind in KINDS
            if kind.hook in row["hooks"]
            and (
                names := [
                    n
                    for n in registry.catalog(kind.table).names()
                    if registry.catalog(kind.table).plugin_of(n) == owner
                ]
            )
        }


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Names of parts; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the laws of its kind over a part (or all parts).

    Example: jitkit plugins check bits
    """
    from jitkit.discovery import Registry, create_plugin_manager
    from jitkit.errors import PluginError
    from jitkit.testing import check_named

    manager = create_plugin_manager()
    if manager.failures and not names:
        raise PluginError(problems=manager.load_problems())
    results = check_named(Registry(manager), names or None)
    broken = [result for result in results if result.failure]
    if as_json:
        print_json({"schema": "jitkit.plugins-check/1", "laws": [result.as_json() for result in results]})
    else:
        for result in results:
            out.print(f"{'BROKEN' if result.failure else 'ok':7}{result.kind} {result.component}: {result.requirement}")
    if broken:
        raise PluginError(
            problems=[
                PluginError(
                    f"a broken law: {result.failure}", result.requirement, file=f"{result.kind} {result.component}"
                ).problems[0]
                for result in broken
            ]
        )
