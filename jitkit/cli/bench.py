"""`jitkit bench`: the speed of a model on this machine, compared with the machine's peak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jitkit.bench import SECTIONS
from jitkit.cli.completion import complete_section
from jitkit.cli.console import note, out, print_json, print_table, show_progress
from jitkit.cli.options import (
    DataOption,
    DeviceOption,
    EncodingOption,
    JsonOption,
    ManifestArgument,
    SetOption,
    naming_encoding,
    with_encoding,
)
from jitkit.discovery import create_plugin_manager
from jitkit.errors import UsageError, shown
from jitkit.filesystem import is_folder

STEPS_PER_SECTION = 5  # that fit into the time of a section
NAME_WIDTH = 34  # characters, so that the columns of all sections are in line
CELL_WIDTH = 11


def bench(
    manifest: ManifestArgument = "jit-nano",
    data: DataOption = None,
    encoding: EncodingOption = None,
    device: DeviceOption = "auto",
    overrides: SetOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION",
            autocompletion=complete_section,
            help=f"Section to measure: {', '.join(SECTIONS[:-1])}, or {SECTIONS[-1]}. Repeatable. Default: all.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="N", min=1, help="Seconds per section, after which no measurement is repeated.")
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Benchmark training, sampling, tokenization, and checkpoints on this machine, and compare with its peak performance.

    A small model takes about a minute, plus compilation. Batches that would take too long are
    made smaller, unless `--set train.batch_size=...` gives their size.

    Example: jitkit bench jit-nano --json
    """
    for section in only or ():
        if section not in SECTIONS:
            raise UsageError(shown(section), f"one of {', '.join(SECTIONS)}", field="--only")
    if is_folder(manifest):
        manifest = str(Path(manifest, "manifest.toml"))  # of a run or an exported model
    from jitkit.bench.sections import Benchmark
    from jitkit.bench.target import BenchmarkTarget, build_target
    from jitkit.checkpoints.format import versions_in_use
    from jitkit.documents.document import provenance
    from jitkit.execution.device import describe_machine, find_device
    from jitkit.manifest.writer import manifest_to_toml
    from jitkit.recipe import open_recipe

    manager, found = create_plugin_manager(), find_device(device)
    with naming_encoding(encoding):
        components = open_recipe(manifest, data=data, overrides=with_encoding(overrides, encoding), manager=manager)
    machine = describe_machine(found)
    made = provenance(manifest_to_toml(components.manifest), versions_in_use(manager), machine)
    document: dict[str, Any] = {"schema": "jitkit.bench/1", "id": components.manifest.id, "complete": False}
    document["provenance"] = made.as_json()

    def build(trains: bool) -> BenchmarkTarget:
        chosen = any(setting.startswith("train.batch_size") for setting in overrides or ())
        limit = float("inf") if chosen else seconds / STEPS_PER_SECTION
        with show_progress() as progress:
            target = build_target(components, found, note=note, progress=progress, trains=trains, step_seconds=limit)
        document["execution"] = target.setup.execution.conditions()
        document["batch_size"] = target.setup.train.batch_size
        return target

    if not as_json:
        out.print(f"{document['id']} on {machine}")
    try:
        for name, values in Benchmark(build, manager, note, only or SECTIONS, seconds).measure():
            document[name] = values
            note(f"measured {name}")
            if not as_json:
                _print_section(name, values)
        document["complete"] = True
    finally:  # an interrupt leaves the results so far
        if as_json and set(SECTIONS) & document.keys():
            print_json(document)
    if not as_json and "execution" in document:
        execution = document["execution"]
        out.print(f"{execution['device']}, {execution['precision']}, compile {execution['compile']}")


def _print_section(name: str, values: dict[str, Any]) -> None:
    """Print a table with the median, minimum and maximum of each measurement."""
    rows: list[list[str]] = []
    for key, value in values.items():
        if isinstance(value, float | int):
            least, most = values.get("spread", {}).get(key, (None, None))
            cells = ["" if number is None else _format(key, number) for number in (value, least, most)]
            rows.append([f"{name}.{key}".ljust(NAME_WIDTH), *(cell.rjust(CELL_WIDTH) for cell in cells)])
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
