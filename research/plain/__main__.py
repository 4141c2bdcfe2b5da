"""Compare a jitkit training step with the same step in plain eager PyTorch.

    python -m research.plain MANIFEST [--data TEXT] [--set KEY=VALUE] [--repeats N]

Both use the same network, loss, batches, and weights, and run alternately in one process: jitkit as it trains, and eager
PyTorch in fp32 and under bf16 autocast. The plain steps use torch's AdamW even if the manifest trains with Muon. Prints a
Markdown table, or JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median

import torch

from jitkit.bench.target import build_target
from jitkit.bench.training import take_step
from jitkit.checkpoints.format import versions_in_use
from jitkit.discovery import create_plugin_manager
from jitkit.documents.document import provenance
from jitkit.execution.device import describe_machine, find_device, seconds
from jitkit.manifest.writer import manifest_to_toml
from jitkit.recipe import open_recipe
from research.command_line import run
from research.plain.step import PlainStep

JITKIT, FP32, BF16 = "jitkit", "plain fp32", "plain bf16 autocast"


def measure(steps: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each step in each of `repeats` rounds. A warm-up round is not counted."""
    rounds = [{name: seconds(step, device) for name, step in steps.items()} for _ in range(1 + repeats)]
    return {name: [times[name] for times in rounds[1:]] for name in steps}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m research.plain", description=__doc__)
    parser.add_argument("manifest", help="a path or zoo id; its backbone must be `jit`")
    parser.add_argument("--data", type=Path, help="text: a file, folder or glob")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("--only", choices=[FP32, BF16], help="one precision; bf16 is slow where it is emulated")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Run the comparison."""
    options = parse(arguments)
    manager, device = create_plugin_manager(), find_device(options.device)
    components = open_recipe(options.manifest, data=options.data, overrides=options.set, manager=manager)
    manifest = components.manifest
    target = build_target(components, device, note=lambda text: print(f"plain: {text}", file=sys.stderr))
    target.pipeline.denoiser.network.train()
    task = target.task()
    steps: dict[str, Callable[[], object]] = {JITKIT: lambda: take_step(target, task)}
    names = [options.only] if options.only else [FP32, BF16]
    for name in names:
        steps[name] = _in_order(PlainStep.of(target, bf16=name == BF16))
    times = measure(steps, options.repeats, device)
    ratios = {name: median(a / b for a, b in zip(times[name], times[JITKIT], strict=True)) for name in names}
    made = provenance(manifest_to_toml(manifest), versions_in_use(manager), describe_machine(device))
    if options.json:
        document = {"schema": "jitkit.plain/1", "id": manifest.id, "execution": target.setup.execution.conditions()}
        results = {"seconds": times, "ratio": ratios, "provenance": made.as_json()}
        print(json.dumps({**document, **results}, indent=2, allow_nan=False))
    else:
        print(f"{manifest.id}, batch {manifest.train.batch_size}, {made.machine}\n")
        print(as_markdown(times, ratios, target.setup.execution.precision))


def as_markdown(times: dict[str, list[float]], ratios: dict[str, float], precision: str) -> str:
    """Return the table of step times."""
    lines = ["| step | median | min | max | relative to jitkit |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, values in times.items():
        label = f"{name} ({precision})" if name == JITKIT else name
        cells = (median(values), min(values), max(values))
        lines.append(f"| {label} | {' | '.join(f'{value:.3f} s' for value in cells)} | {ratios.get(name, 1):.2f} |")
    return "\n".join(lines)


def _in_order(step: PlainStep) -> Callable[[], float]:
    numbers = count()
    return lambda: step(next(numbers))


if __name__ == "__main__":
    run("plain", main)
