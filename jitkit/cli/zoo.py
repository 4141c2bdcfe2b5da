"""`jitkit zoo`: list, print and check manifests."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jitkit.cli.console import print_json, print_lines, print_result, print_table, print_text, working
from jitkit.cli.options import JsonOption, ManifestArgument
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import counted
from jitkit.manifest.source import ManifestSource
from jitkit.zoo.index import find_manifest, zoo_index


def list_models(as_json: JsonOption = False) -> None:
    """List the models of the zoo.

    Example: jitkit zoo list
    """
    from jitkit.manifest.reader import read_manifest

    rows: list[dict[str, Any]] = []
    cells: list[tuple[str, ...]] = []
    for name, path in zoo_index(create_plugin_manager()).items():
        manifest = read_manifest(path)
        size, trained = manifest.num_parameters, manifest.weights.file is not None
        rows.append({"id": name, "summary": manifest.summary, "parameters": size, "trained": trained})
        cells.append((name, f"{size / 1e6:.1f} M" if size else "?", "yes" if trained else "no", manifest.summary))
    header = ("id", "parameters", "trained", "summary")
    document = {"schema": "jitkit.zoo/1", "models": rows}
    print_result(document, as_json, lambda: print_table(header, cells, align="lrl"))


def show(manifest: ManifestArgument) -> None:
    """Print a manifest file.

    Example: jitkit zoo show jit-nano > mine.toml
    """
    print_text(ManifestSource.read(find_manifest(manifest, create_plugin_manager())).text, end="")


def check(
    manifests: Annotated[
        list[str] | None, typer.Argument(metavar="MANIFEST", help="Zoo ids or manifest paths. Default: the whole zoo.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate manifests, build their networks without allocating memory, and count parameters.

    Example: jitkit zoo check mine.toml
    """
    from jitkit.recipe import open_recipe
    from jitkit.zoo.check import check_recipe

    manager = create_plugin_manager()
    names = manifests or list(zoo_index(manager))
    with working("checking"):
        rows: list[dict[str, Any]] = [check_recipe(open_recipe(name, manager=manager)) for name in names]
    lines = (
        f"{row['id']}: {row['parameters']:,} parameters, {counted(row['tokens_per_image'], 'token')} per image,"
        f" {counted(row['pixels_per_token'], 'pixel')} per token: ok"
        for row in rows
    )
    print_result({"schema": "jitkit.zoo-check/1", "models": rows}, as_json, lambda: print_lines(lines))


def schema() -> None:
    """Print the JSON Schema of manifests, for editors.

    Example: jitkit zoo schema > manifest.schema.json
    """
    from jitkit.zoo.schema import manifest_schema

    print_json(manifest_schema(Registry(create_plugin_manager())))
