"""`jitkit frontier`: sample quality over a grid of sampler settings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.completion import complete_key
from jitkit.cli.console import note, out, print_result, print_table, show_progress, table_cell, working
from jitkit.cli.options import (
    OUTPUT,
    DataOption,
    DeviceOption,
    EncodingOption,
    JsonOption,
    ModelArgument,
    SetOption,
    check_settings,
    naming_encoding,
    out_option,
    overrides_with_data,
    require_new,
)
from jitkit.errors import UsageError, counted, shown
from jitkit.filesystem import exists
from jitkit.storage.atomic import folder_in_use

if TYPE_CHECKING:
    from jitkit.documents.document import Setting
    from jitkit.documents.schemas import Frontier

DEFAULT = ("sampler.steps=8,16,32,64",)


def frontier(
    model: ModelArgument,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=VALUES",
            help=f"Values of a key. Repeatable. Default: {DEFAULT[0]}.",
            autocompletion=complete_key,
        ),
    ] = None,
    settings: SetOption = None,
    num: Annotated[int, typer.Option("-n", "--num", metavar="N", min=1, help="Texts per grid point.")] = 64,
    data: DataOption = None,
    encoding: EncodingOption = None,
    folder: Annotated[
        Path | None,
        out_option(
            "FOLDER",
            "Folder for frontier.json and report.html. Default: the model's folder, or frontier/ID for a zoo model.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remeasure existing points.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Score samples over a grid of sampler settings, with real text and simple baselines for comparison.

    Finished points are saved. Repeat the command to continue after an interruption.

    Example: jitkit frontier run/jit-nano --sweep sampler.steps=16,64
    """
    axes = dict(map(_axis, sweeps or DEFAULT))
    check_settings([f"{key}=" for key in axes], option="--sweep")
    overrides = overrides_with_data(settings, data, encoding)
    from jitkit.checkpoints.open import open_model
    from jitkit.checkpoints.run_index import add_reports
    from jitkit.documents.document import read_document, write_document
    from jitkit.documents.schemas import Frontier
    from jitkit.evaluation.frontier import measure_frontier
    from jitkit.execution.device import find_device
    from jitkit.recipe import named_as
    from jitkit.report.run_page import write_page
    from jitkit.report.run_record import FRONTIER, PAGE, REPORT, is_run, read_run

    with working("loading the model") as progress:
        opened = open_model(model, progress=progress)
    folder = folder or opened.own_folder or Path("frontier", opened.components().manifest.id)
    file = folder / FRONTIER
    if not (exists(file) or exists(folder / REPORT) or is_run(folder)):
        require_new([folder / PAGE], overwrite, field="--out")
    earlier = read_document(file, Frontier) if exists(file) and not overwrite else None
    names = {key: f"--sweep {key}" for key in axes}
    with folder_in_use(folder), naming_encoding(encoding), named_as(names), show_progress() as progress:
        found = measure_frontier(
            opened,
            axes,
            overrides=overrides,
            num_texts=num,
            data=data,
            device=find_device(device),
            earlier=earlier,
            save=lambda partial: note(f"{counted(len(partial.points), 'point')} in {write_document(file, partial)}"),
            progress=progress,
            note=note,
        )
    write_document(file, found)
    add_reports(folder, [FRONTIER])
    note(f"wrote {write_page(read_run(folder), folder)}")
    print_result(found.as_json(), as_json, lambda: _print(found))


def _axis(text: str) -> tuple[str, list[Setting]]:
    """Return the key and values of "sampler.steps=8,16"."""
    key, equals, values = text.partition("=")
    try:
        found = tomllib.loads(f"values = [{values}]")["values"]
    except ValueError:  # words without quotes
        found = [_value(value.strip()) for value in values.split(",")]
    if not equals or not found or not all(isinstance(value, bool | int | float | str) for value in found):
        raise UsageError(shown(text), f"KEY=VALUE,VALUE,... as in {DEFAULT[0]}", field="--sweep")
    return key.strip(), list(dict.fromkeys(found))


def _value(text: str) -> object:
    """Return a value of TOML, or the text itself if it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _print(found: Frontier) -> None:
    axes = list(found.axes)
    labels = [[str(point.set[axis]) for axis in axes] for point in found.points]
    labels += [[str(row["text"]), *[""] * (len(axes) - 1)] for row in found.marks]
    measured = [*(point.measured for point in found.points), *found.marks]
    cells = [[table_cell(row, column, found.marks) for column in found.columns] for row in measured]
    out.print(
        f"{found.model}, step {found.step:,}: {counted(found.num_texts, 'text')} per point, held-out text: {found.held_out}"
    )
    header = [*(axis.rpartition(".")[2] for axis in axes), *found.columns]
    print_table(header, ([*label, *row] for label, row in zip(labels, cells, strict=True)), "l" * len(axes) + "r")
    out.print("≠ differs from held-out text: the intervals do not overlap. Good settings have few of these marks.")
    if "judge_bits" in found.columns:
        out.print("The n-gram language model alone (judge_bits) also prefers copies and repetition.")
