"""Compare jitkit with other kinds of models under equal conditions.

    python -m research.competitors MANIFEST [--data TEXT] [--out FOLDER] [--only NAME ...]

Trains four models on the same windows with the same seeds and the `[train]` table of one manifest, samples each at several
settings, scores the texts (`research/ngram_score.py`), and prints a Markdown table, or JSON with `--json`:

- jitkit: the manifest.
- original: the recipe that jitkit started from, in the same network.
- masked: masked diffusion (MDLM) with the same blocks.
- autoregressive: the same blocks with causal attention.

Each pair of model and seed has a folder. Existing results are kept, so the program can be stopped and started again, and
`--only` fills the table one model at a time. A folder belongs to one recipe and text. Use another `--out` for another.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from jitkit.discovery import create_plugin_manager
from jitkit.errors import UsageError, shown
from jitkit.execution.device import find_device
from jitkit.manifest.writer import manifest_to_toml
from jitkit.storage.atomic import make_folder
from research.command_line import run
from research.competitors.all_competitors import all_competitors
from research.competitors.result_file import ResultFile
from research.competitors.sampling_grid import SamplingGrid
from research.competitors.shared_recipe import SharedRecipe
from research.competitors.tables import as_markdown, infill_rows, quality_rows
from research.competitors.trial import Trial

FAST = ("train.max_steps=100", "train.batch_size=16", "train.warmup_steps=20", "train.validation_windows=16")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="python -m research.competitors", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("manifest", help="a path or zoo id")
    add("--data", type=Path, help="text: a file, folder or glob")
    add("--out", type=Path, default=Path("run/competitors"), help="folder (%(default)s)")
    add("--only", nargs="+", default=[], metavar="NAME", help="train and measure only these models")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="%(default)s")
    add("--texts", type=int, default=64, help="texts per setting (%(default)s)")
    add("--evaluations", nargs="+", type=int, default=[64, 16], help="%(default)s")
    add("--temperatures", nargs="+", type=float, default=[1.0, 0.9, 0.8, 0.7, 0.6], help="%(default)s")
    add("--gammas", nargs="+", type=float, default=[1.0, 3.0], help="for jitkit (%(default)s)")
    add("--evidence", nargs="+", type=float, default=[], metavar="WEIGHT", help="for jitkit (1)")
    add("--samplers", nargs="+", default=[], metavar="NAME", help="for jitkit, in addition to the manifest's")
    add("--infill-temperatures", nargs="+", type=float, default=[1.0, 0.4], help="for jitkit (%(default)s)")
    add("--infill-gammas", nargs="+", type=float, default=[60.0], help="for jitkit (%(default)s)")
    add("--entropies", nargs="+", type=float, default=[4.15, 4.0], help="for the comparison (%(default)s)")
    add("--fast", action="store_true", help="a smoke test: 100 steps, batch 16, one seed, 16 texts")
    add("--device", default="auto")
    add("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args(arguments)
    if options.fast:
        options.set += FAST
        options.seeds, options.texts, options.evaluations, options.temperatures = [0], 16, [16], [1.0, 0.7]
    return options


def recipe_of(options: argparse.Namespace) -> SharedRecipe:
    """Return the recipe on the command line."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    return SharedRecipe(
        options.manifest,
        options.data,
        tuple(options.set),
        create_plugin_manager(),
        find_device(options.device),
        console,
    )


def grid_of(options: argparse.Namespace) -> SamplingGrid:
    """Return the sampling settings on the command line."""
    names = ("evaluations", "temperatures", "gammas", "evidence", "samplers", "infill_temperatures", "infill_gammas")
    return SamplingGrid(options.texts, **{name: tuple(getattr(options, name)) for name in names})


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    options = parse(arguments)
    recipe, grid = recipe_of(options), grid_of(options)
    competitors = all_competitors(recipe)
    for name in options.only:
        if name not in competitors:
            raise UsageError(shown(name), f"one of {', '.join(competitors)}", field="--only")
    make_folder(options.out)
    shared = ResultFile(options.out / "recipe.json")
    shared.require("manifest", manifest_to_toml(recipe.common.manifest))
    shared.require("text", recipe.text.data.fingerprint)
    trials = {
        name: [Trial(recipe, competitor, seed, options.out / name / f"seed-{seed}") for seed in options.seeds]
        for name, competitor in competitors.items()
    }
    for of_one_seed in zip(*(trials[name] for name in options.only or competitors), strict=True):
        for trial in of_one_seed:
            trial.run(grid)
    quality, infilling = quality_rows(recipe, trials, grid, options.entropies), infill_rows(trials, grid)
    if options.json:
        machine = f"{platform.machine()}, {recipe.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        document = {"schema": "jitkit.competitors/1", "manifest": recipe.common.manifest.id, "machine": machine}
        print(json.dumps({**document, "rows": quality, "infilling": infilling}, indent=2, allow_nan=False))
    else:
        print(as_markdown(quality, infilling))


if __name__ == "__main__":
    run("competitors", main)
