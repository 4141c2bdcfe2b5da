"""Rivals on the same terms: python -m research.rivals MANIFEST [--data TEXT] [--out FOLDER] [--only NAME ...]

Trains four models on the same windows, with the same seeds and the `[train]` of one manifest, lets each write at several
settings, judges the texts (`research/judge.py`), and prints one Markdown table, or JSON with `--json`:

- jitkit: the manifest.
- original: the recipe that jitkit set out from, in the same network.
- masked: masked diffusion (MDLM) on the same trunk.
- autoregressive: the same trunk, causal.

Each (model, seed) is a folder; what is in it is not made again, so the program may be stopped and called again, and `--only`
builds the table one model at a time. A folder belongs to one recipe and text; another needs another `--out`.
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
from jitkit.zoo.index import find_manifest
from research.program import run
from research.rivals.asked import Asked
from research.rivals.cell import Cell
from research.rivals.contestants import Task, contestants
from research.rivals.record import Record
from research.rivals.table import as_markdown, infilling_rows, quality_rows

FAST = ("train.max_steps=100", "train.batch_size=16", "train.warmup_steps=20", "train.validation_windows=16")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m research.rivals", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("manifest", help="a path, or the id of a zoo model")
    parser.add_argument("--data", type=Path, help="text: a file, a folder or a glob")
    parser.add_argument("--out", type=Path, default=Path("run/rivals"), help="folder (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="train and measure only these")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="%(default)s")
    parser.add_argument("--texts", type=int, default=64, help="texts a setting (%(default)s)")
    parser.add_argument("--evaluations", nargs="+", type=int, default=[64, 16], help="%(default)s")
    parser.add_argument("--temperatures", nargs="+", type=float, default=[1.0, 0.9, 0.8, 0.7, 0.6], help="%(default)s")
    parser.add_argument("--gammas", nargs="+", type=float, default=[1.0, 3.0], help="jitkit's, %(default)s")
    parser.add_argument("--samplers", nargs="+", default=[], metavar="NAME", help="jitkit's, beside the manifest's")
    parser.add_argument(
        "--infill-temperatures", nargs="+", type=float, default=[1.0, 0.4], help="jitkit's, %(default)s"
    )
    parser.add_argument("--infill-gammas", nargs="+", type=float, default=[60.0], help="jitkit's, %(default)s")
    parser.add_argument("--entropies", nargs="+", type=float, default=[4.15, 4.0], help="to compare at (%(default)s)")
    parser.add_argument("--fast", action="store_true", help="100 steps of 16, one seed, 16 texts: to see it work")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    asked = parser.parse_args(words)
    if asked.fast:
        asked.set += FAST
        asked.seeds, asked.texts, asked.evaluations, asked.temperatures = [0], 16, [16], [1.0, 0.7]
    return asked


def main(words: Sequence[str]) -> None:
    """Compare."""
    asked = arguments(words)
    manager = create_plugin_manager()
    task = Task(
        find_manifest(asked.manifest, manager),
        asked.data,
        tuple(asked.set),
        manager,
        find_device(asked.device),
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True),
    )
    everyone = contestants(task)
    for name in asked.only:
        if name not in everyone:
            raise UsageError(shown(name), f"one of {', '.join(everyone)}", field="--only")
    make_folder(asked.out)
    of_all = Record(asked.out / "recipe.json")
    of_all.require("manifest", manifest_to_toml(task.common.manifest))
    of_all.require("text", task.data.fingerprint)
    wanted = Asked(
        asked.texts,
        tuple(asked.evaluations),
        tuple(asked.temperatures),
        tuple(asked.gammas),
        tuple(asked.samplers),
        tuple(asked.infill_temperatures),
        tuple(asked.infill_gammas),
    )
    cells = {
        name: [Cell(task, contestant, seed, asked.out / name / f"seed-{seed}") for seed in asked.seeds]
        for name, contestant in everyone.items()
    }
    for of_one_seed in zip(*(cells[name] for name in asked.only or everyone), strict=True):
        for cell in of_one_seed:
            cell.measure(wanted)
    quality, infilling = quality_rows(task, cells, wanted, asked.entropies), infilling_rows(cells, wanted)
    if asked.json:
        machine = f"{platform.machine()}, {task.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        document = {"schema": "jitkit.rivals/1", "manifest": task.common.manifest.id, "machine": machine}
        print(json.dumps({**document, "rows": quality, "infilling": infilling}, indent=2, allow_nan=False))
    else:
        print(as_markdown(quality, infilling))


if __name__ == "__main__":
    run("rivals", main)
