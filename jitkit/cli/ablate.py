"""`jitkit ablate`: one manifest under many settings and seeds, and one table of what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import DataOption, DeviceOption, JsonOption, err, out, print_json

if TYPE_CHECKING:
    from jitkit.ablation.grid_run import GridRun


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(ablate)


def _print_schema(wanted: bool) -> None:
    if wanted:
        from jitkit.ablation.grid import Grid

        print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Grid.model_json_schema()})
        raise typer.Exit


def ablate(
    grid: Annotated[Path, typer.Argument(help="A grid file (.toml).")],
    data: DataOption = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the grid; run/<name of the file> by default.")
    ] = None,
    device: DeviceOption = "auto",
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on although the grid has changed: keep runs that are as before, train the others anew.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every cell, say what it would take; train nothing.")
    ] = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of grid files, for editors, and stop.",
            callback=_print_schema,
            is_eager=True,
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and measure a manifest under every setting of a grid, with several seeds.

    All cells are checked before the first is trained. The same command goes on where an earlier one was stopped.

    Example: jitkit ablate grid.toml --data novels/ --dry-run
    """
    del schema  # its callback has answered
    from jitkit.ablation.eval_settings import eval_settings
    from jitkit.ablation.grid import read_grid
    from jitkit.ablation.planning import plan_runs
    from jitkit.ablation.runner import Ablation
    from jitkit.ablation.table import tables
    from jitkit.discovery import create_plugin_manager
    from jitkit.execution.device import find_device
    from jitkit.progress import progress_bars

    manager, recipe = create_plugin_manager(), read_grid(grid)
    taken = eval_settings(recipe)
    with progress_bars(err) as progress:
        cells = plan_runs(recipe, taken, manager, data=data, progress=progress)
    if dry_run:
        _dry_run(cells, len(recipe.seeds), len(taken), as_json)
        return
    place = folder or Path("run", grid.stem)
    device_found = find_device(device)
    document = Ablation(recipe, cells, taken, place, manager, device_found, err, accept_changes).run()
    if as_json:
        print_json(document)
        return
    out.print(tables(document))
    out.print(f"wrote {place / 'results.md'}, results.json and results.svg")


def _dry_run(cells: Sequence[GridRun], num_seeds: int, num_settings: int, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "cell": cell.point.name,
            "set": list(cell.point.overrides),
            "parameters": cell.dry_run.estimate.num_parameters,
            "tokens_per_image": cell.dry_run.estimate.tokens_per_image,
            "steps": cell.dry_run.plan.num_steps,
            "flops": cell.dry_run.estimate.run_flops,
        }
        for cell in cells[: len(cells) // num_seeds]
    ]
    total = {
        "runs": len(cells),
        "steps": num_seeds * sum(row["steps"] for row in rows),
        "flops": num_seeds * sum(row["flops"] for row in rows),
        "bytes": sum(cell.kept_bytes for cell in cells),
    }
    if as_json:
        print_json({"schema": "jitkit.ablate-dry-run/1", "seeds": num_seeds, "cells": rows, **total})
        return
    from jitkit.ablation.table import drawn

    lines = [["cell", "parameters", "tokens an image", "steps", "PFLOP"]]
    for row in rows:
        numbers = (f"{row[name]:,}" for name in ("parameters", "tokens_per_image", "steps"))
        lines.append([row["cell"], *numbers, f"{row['flops'] / 1e15:,.3f}"])
    out.print(drawn(lines, texts=1))
    out.print(
        f"{len(rows)} cells x {num_seeds} seeds: {total['runs']:,} runs, {total['steps']:,} steps,"
        f" {total['flops'] / 1e15:,.3f} PFLOP to train, {total['bytes'] / 1e9:,.2f} GB to keep;"
        f" each is measured {num_settings} times"
    )
