"""How cost grows: python -m research.growth [MANIFEST] [--set KEY=VALUE] [--plot FILE.svg] [--fast]

Measures a training step, and the memory it holds beside the program, at one size and at fractions and multiples of its width
(heads keep their size), depth, image size and batch, one at a time, each in a process of its own. Prints a Markdown table
with the fitted power law, or JSON with --json. --fast takes two points a size of a tiny network: to see that it works.
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
from jitkit.manifest import read_manifest
from jitkit.manifest.schema import Manifest
from jitkit.zoo.index import find_manifest
from research.growth.law import Law, fit
from research.growth.plot import plot
from research.program import run

HALF = Fraction(1, 2)
FACTORS = {
    "width": (Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(4, 3), Fraction(2)),
    "depth": (HALF, Fraction(1), Fraction(2), Fraction(3)),
    "image side": (HALF, Fraction(1), Fraction(3, 2), Fraction(2)),
    "batch": (Fraction(1, 4), HALF, Fraction(1), Fraction(2)),
}
FAST = ("backbone.embed_dim=48", "backbone.depth=2", "train.batch_size=8")
FAST_FACTORS = {name: (Fraction(1), Fraction(2)) for name in FACTORS}
COSTS = {"step_seconds": "a step", "bytes": "memory"}


def overrides(manifest: Manifest, size: str, factor: Fraction) -> list[str]:
    """Return the settings that make one size so many times what the manifest says."""
    backbone, batch = manifest.backbone.options, manifest.train.batch_size
    keys = {
        "width": {"backbone.embed_dim": backbone["embed_dim"], "backbone.num_heads": backbone["num_heads"]},
        "depth": {"backbone.depth": backbone["depth"]},
        "image side": {"backbone.image_size": backbone["image_size"]},
        "batch": {"train.batch_size": batch},
    }[size]
    return [f"{key}={int(value * factor)}" for key, value in keys.items()]


def measured(manifest: str, device: str, settings: Sequence[str]) -> dict[str, Any]:
    """Return what `research.growth.point` prints; where it fails, which it has said itself, so does the whole."""
    command = [sys.executable, "-m", "research.growth.point", manifest, device, *settings]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"growth: {' '.join(command)} failed")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(words: Sequence[str]) -> None:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser(prog="python -m research.growth", description=__doc__)
    parser.add_argument("manifest", nargs="?", default="jit-nano", help="a path, or the id of a zoo model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    parser.add_argument("--plot", type=Path, help="write a picture (.svg)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fast", action="store_true", help="tiny, two points a size")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    asked = parser.parse_args(words)
    settings = [*asked.set, *(FAST if asked.fast else ())]
    manifest = read_manifest(find_manifest(asked.manifest, create_plugin_manager()), settings)
    rows: dict[str, list[dict[str, Any]]] = {}
    base = measured(asked.manifest, asked.device, settings)
    for size, factors in (FAST_FACTORS if asked.fast else FACTORS).items():
        for factor in factors:
            changed = overrides(manifest, size, factor)
            found = base if factor == 1 else measured(asked.manifest, asked.device, [*settings, *changed])
            rows.setdefault(size, []).append({"factor": float(factor), "set": changed, **found})
            print(f"growth: {' '.join(changed)}: {found['step_seconds']:.3f} s", file=sys.stderr)
    laws = {
        cost: fit({size: [(row["factor"], row[cost]) for row in of] for size, of in rows.items()}) for cost in COSTS
    }
    if asked.plot:
        asked.plot.write_text(plot(rows, laws), encoding="utf-8")
    if asked.json:
        fitted = {cost: {"unit": law.unit, "exponents": dict(law.exponents)} for cost, law in laws.items()}
        print(json.dumps({"schema": "jitkit.growth/1", "id": manifest.id, "laws": fitted, "rows": rows}, indent=2))
    else:
        print(as_markdown(rows, laws))


def as_markdown(rows: dict[str, list[dict[str, Any]]], laws: dict[str, Law]) -> str:
    """Return the table of all points, and the laws."""
    lines = ["| changed | a step | the law says | memory | the law says |", "| --- | ---: | ---: | ---: | ---: |"]
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
