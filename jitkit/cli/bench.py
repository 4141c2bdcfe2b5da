"""`jitkit bench`: the speed of a model on this machine, compared with the machine's peak."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jitkit.bench import SECTIONS
from jitkit.cli.completion import complete_section
from jitkit.cli.console import note, out, print_result, print_table, show_progress
from jitkit.cli.options import DataOption, DeviceOption, JsonOption, ManifestArgument, SetOption
from jitkit.discovery import create_plugin_manager
from jitkit.errors import UsageError, shown


def bench(
    manifest: ManifestArgument = "jit-nano",
    data: DataOption = None,
    device: DeviceOption = "auto",
    overrides: SetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION", autocompletion=complete_section, help="Section to measure. Repeatable. Default: all."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Benchmark training, sampling, tokenization and checkpoints on this machine, and compare with its peak performance.

    This takes about a minute for a small model. Ctrl-C prints the results so far.

    Example: jitkit bench jit-nano --json
    """
    for section in only or ():
        if section not in SECTIONS:
            raise UsageError(shown(section), f"one of {', '.join(SECTIONS)}", field="--only")
    from jitkit.bench.sections import measure, required_sections
    from jitkit.bench.target import build_target
    from jitkit.checkpoints.format import versions_in_use
    from jitkit.documents.document import provenance
    from jitkit.execution.device import describe_machine, find_device
    from jitkit.manifest.writer import manifest_to_toml
    from jitkit.recipe import open_recipe

    manager, found = create_plugin_manager(), find_device(device)
    components = open_recipe(manifest, data=data, overrides=overrides or (), manager=manager)
    machine = describe_machine(found)
    made = provenance(manifest_to_toml(components.manifest), versions_in_use(manager), machine)
    document: dict[str, Any] = {"schema": "jitkit.bench/1", "id": components.manifest.id, "complete": False}
    document["provenance"] = made.as_json()
    try:
        with show_progress() as progress:
            trains = "training" in required_sections(only or SECTIONS)
            target = build_target(components, found, note=note, progress=progress, trains=trains)
        document["execution"] = target.setup.execution.conditions()
        for name, values in measure(target, manager, note, only or SECTIONS):
            document[name] = values
            note(f"measured {name}")
    except KeyboardInterrupt:
        if "execution" in document:
            note("stopped; printing the results so far")
            print_result(document, as_json, lambda: _print(document))
        raise
    document["complete"] = True
    print_result(document, as_json, lambda: _print(document))


def _print(document: dict[str, Any]) -> None:
    """Print a table with the median, minimum and maximum of each measurement."""
    execution = document["execution"]
    out.print(f"{document['id']} on {document['provenance']['machine']}")
    out.print(f"{execution['device']}, {execution['precision']}, compile {execution['compile']}")
    rows: list[list[str]] = []
    for section in SECTIONS:
        values = document.get(section, {})
        for name, value in values.items():
            if isinstance(value, float | int):
                spread = values.get("spread", {}).get(name, ())
                rows.append([f"{section}.{name}", *(_format(name, number) for number in (value, *spread))])
    print_table(["", "median", "minimum", "maximum"], rows)


def _format(name: str, value: float) -> str:
    """Return shares in percent, times in milliseconds, rates and bytes with a unit prefix."""
    if name.startswith("share"):
        return f"{value:.1%}"
    if name.endswith("_seconds") or name in {"data", "forward", "backward", "optimizer"}:
        return f"{1000 * value:,.2f} ms"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.2f} {letter}"
    return f"{value:,.4g}"
