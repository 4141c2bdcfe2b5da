"""`jitkit ablate`: train one manifest under many settings and seeds, and tabulate the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import err, out, print_json, print_lines, print_summary, print_table, show_progress
from jitkit.cli.options import (
    DataOption,
    DeviceOption,
    EncodingOption,
    JsonOption,
    naming_encoding,
    out_option,
    with_encoding,
)
from jitkit.discovery import create_plugin_manager
from jitkit.errors import counted

if TYPE_CHECKING:
    from jitkit.ablation.planning import GridRun


def _print_schema(requested: bool) -> None:
    if requested:
        from jitkit.ablation.grid import Grid

        print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Grid.model_json_schema()})
        raise typer.Exit


def ablate(
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="A grid file (.toml).")],
    data: DataOption = None,
    encoding: EncodingOption = None,
    folder: Annotated[
        Path | None, out_option("FOLDER", "Folder of the grid. Default: run/ and the name of the grid file.")
    ] = None,
    device: DeviceOption = "auto",
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Accept a changed grid: keep unchanged runs and retrain the others."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every cell and print its cost without training.")
    ] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", help="Print the JSON Schema of grid files, for editors.", callback=_print_schema, is_eager=True
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and evaluate a manifest under every setting of a grid, with several seeds.

    Every cell is checked before the first run trains. Repeat the command to continue an interrupted grid.

    Example: jitkit ablate grid.toml --data novels/ --dry-run
    """
    del schema  # handled by its callback
    from jitkit.ablation.grid import eval_settings, read_grid
    from jitkit.ablation.planning import plan_runs
    from jitkit.ablation.runner import Ablation
    from jitkit.ablation.table import tables
    from jitkit.execution.device import find_device

    manager, recipe = create_plugin_manager(), read_grid(grid)
    recipe = recipe.model_copy(update={"set": (*with_encoding(recipe.set, encoding),)})
    settings = eval_settings(recipe)
    with naming_encoding(encoding), show_progress() as progress:
        runs = plan_runs(recipe, settings, manager, data=data, progress=progress)
    if dry_run:
        _print_dry_run(runs, len(recipe.seeds), len(settings), as_json)
        return
    folder = folder or Path("run", grid.stem)
    document = Ablation(recipe, runs, settings, folder, manager, find_device(device), err, accept_changes).run()
    lines = (tables(document), f"wrote {folder / 'results.md'}, results.json and results.svg")
    print_summary(document, as_json, lambda: print_lines(lines))


def _print_dry_run(runs: Sequence[GridRun], num_seeds: int, num_settings: int, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "cell": run.point.name,
            "set": list(run.point.overrides),
            "parameters": run.dry_run.estimate.num_parameters,
            "tokens_per_image": run.dry_run.estimate.tokens_per_image,
            "steps": run.dry_run.plan.num_steps,
            "flops": run.dry_run.estimate.run_flops,
        }
        for run in runs[: len(runs) // num_seeds]
    ]
    total = {
        "runs": len(runs),
        "steps": num_seeds * sum(row["steps"] for row in rows),
        "flops": num_seeds * sum(row["flops"] for row in rows),
        "bytes": sum(run.kept_bytes for run in runs),
    }
    if as_json:
        print_json({"schema": "jitkit.ablate-dry-run/1", "seeds": num_seeds, "cells": rows, **total})
        return
    keys = ("parameters", "tokens_per_image", "steps")
    lines = [[row["cell"], *(f"{row[key]:,}" for key in keys), f"{row['flops'] / 1e15:,.3f}"] for row in rows]
    print_table(("cell", "parameters", "tokens per image", "steps", "PFLOP"), lines)
    out.print(
        f"{counted(len(rows), 'cell')} x {counted(num_seeds, 'seed')}: {counted(total['runs'], 'run')}, {counted(total['steps'], 'step')},"
        f" {total['flops'] / 1e15:,.3f} PFLOP of training, {total['bytes'] / 1e9:,.2f} GB of checkpoints,"
        f" {counted(num_settings, 'evaluation')} per run"
    )
