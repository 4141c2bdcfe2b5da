"""Measure how the time and memory of a training step grow with the size of the model.

    python -m research.growth [MANIFEST] [--set KEY=VALUE] [--plot FILE.svg] [--fast]

Changes width (at a fixed head size), depth, image size, and batch size one at a time, and measures each configuration in its
own process. Memory does not include the program itself. Prints a Markdown table with the fitted power law, or JSON with
--json. --fast is a smoke test: a tiny network, two configurations per size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from jitkit.discovery import create_plugin_manager
from jitkit.manifest.reader import read_manifest
from jitkit.manifest.schema import Manifest
from jitkit.zoo.index import find_manifest
from research.command_line import run
from research.growth.plot import plot
from research.growth.power_law import PowerLaw, fit

HALF = Fraction(1, 2)
FACTORS = {
    "width": (Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(4, 3), Fraction(2)),
    "depth": (HALF, Fraction(1), Fraction(2), Fraction(3)),
    "image side": (HALF, Fraction(1), Fraction(3, 2), Fraction(2)),
    "batch": (Fraction(1, 4), HALF, Fraction(1), Fraction(2)),
}
FAST = ("backbone.embed_dim=48", "backbone.depth=2", "train.batch_size=8")
FAST_FACTORS = {name: (Fraction(1), Fraction(2)) for name in FACTORS}
COSTS = {"step_seconds": "step", "bytes": "memory"}


def overrides(manifest: Manifest, size: str, factor: Fraction) -> list[str]:
    """Return the overrides that multiply one size of the manifest by `factor`."""
    backbone, batch = manifest.backbone.options, manifest.train.batch_size
    keys = {
        "width": {"backbone.embed_dim": backbone["embed_dim"], "backbone.num_heads": backbone["num_heads"]},
        "depth": {"backbone.depth": backbone["depth"]},
        "image side": {"backbone.image_size": backbone["image_size"]},
        "batch": {"train.batch_size": batch},
    }[size]
    return [f"{key}={int(value * factor)}" for key, value in keys.items()]


def measure(manifest: str, device: str, settings: Sequence[str]) -> dict[str, Any]:
    """Return the output of `research.growth.point`. Exit if it fails; it has printed the reason."""
    command = [sys.executable, "-m", "research.growth.point", manifest, device, *settings]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"growth: {' '.join(command)} failed")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure, fit, and print."""
    parser = argparse.ArgumentParser(prog="python -m research.growth", description=__doc__)
    parser.add_argument("manifest", nargs="?", default="jit-nano", help="a path or zoo id")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    parser.add_argument("--plot", type=Path, help="write a chart (.svg)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fast", action="store_true", help="a smoke test: a tiny network, two configurations per size")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args(arguments)
    settings = [*options.set, *(FAST if options.fast else ())]
    manifest = read_manifest(find_manifest(options.manifest, create_plugin_manager()), settings)
    rows: dict[str, list[dict[str, Any]]] = {}
    base = measure(options.manifest, options.device, settings)
    for size, factors in (FAST_FACTORS if options.fast else FACTORS).items():
        for factor in factors:
            changed = overrides(manifest, size, factor)
            found = base if factor == 1 else measure(options.manifest, options.device, [*settings, *changed])
            rows.setdefault(size, []).append({"factor": float(factor), "set": changed, **found})
            print(f"growth: {' '.join(changed)}: {found['step_seconds']:.3f} s", file=sys.stderr)
    laws = {
        cost: fit({size: [(row["factor"], row[cost]) for row in of] for size, of in rows.items()}) for cost in COSTS
    }
    if options.plot:
        options.plot.write_text(plot(rows, laws), encoding="utf-8")
    if options.json:
        fitted = {cost: {"unit": law.unit, "exponents": dict(law.exponents)} for cost, law in laws.items()}
        print(json.dumps({"schema": "jitkit.growth/1", "id": manifest.id, "laws": fitted, "rows": rows}, indent=2))
    else:
        print(as_markdown(rows, laws))


def as_markdown(rows: dict[str, list[dict[str, Any]]], laws: dict[str, PowerLaw]) -> str:
    """Return the table of all configurations, and the fitted power laws."""
    lines = ["| changed | step | fitted | memory | fitted |", "| --- | ---: | ---: | ---: | ---: |"]
    for size, of in rows.items():
        for row in of:
            time, memory = (law.at({size: row["factor"]}) for law in laws.values())
            cells = (
                f"{row['step_seconds']:.3f} s",
                f"{time:.3f} s",
                f"{row['bytes'] / 1e6:,.0f} MB",
                f"{memory / 1e6:,.0f} MB",
            )
            settings = ", ".join(f"`{setting}`" for setting in row["set"])
            lines.append(f"| {settings} | {' | '.join(cells)} |")
    for (cost, words), unit in zip(COSTS.items(), ("s", "bytes"), strict=True):
        law = laws[cost]
        factors = " ".join(f"{size}^{power:.2f}" for size, power in law.exponents.items())
        lines += ["", f"{words} = {law.unit:.4g} {unit} x {factors}"]
    return "\n".join(lines)


if __name__ == "__main__":
    run("growth", main)
