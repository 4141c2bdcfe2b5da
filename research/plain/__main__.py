"""A training step beside a plain one: python -m research.plain MANIFEST [--data TEXT] [--set KEY=VALUE] [--repeats N]

The same network and loss (`research/plain/`), batches and weights, in one run, turn by turn: jitkit as it trains,
and eager PyTorch in fp32 and under bf16 autocast, with torch's AdamW and averages as they come (a manifest that trains with
Muon is compared with that AdamW all the same). Prints a Markdown table, or JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from jitkit.bench.target import EvaluationContext, make_subject
from jitkit.bench.training import feed_of, take_step
from jitkit.checkpoints.format import versions_in_use
from jitkit.diffusion.guidance import inputs_of
from jitkit.diffusion.loss import diffusion_loss
from jitkit.discovery import create_plugin_manager
from jitkit.documents.provenance import provenance
from jitkit.execution.device import find_device, seconds
from jitkit.execution.machine import describe_machine
from jitkit.manifest import manifest_to_toml
from jitkit.protocols import Objective
from jitkit.recipe import open_recipe
from research.plain.network import PlainJit
from research.plain.objective import plain
from research.program import run

OURS, FP32, BF16 = "jitkit", "plain fp32", "plain bf16 autocast"


@dataclass
class PlainStep:
    """A step of the plain network and objective, its optimizer and its averages."""

    context: EvaluationContext
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    averages: list[dict[str, Tensor]]
    bf16: bool

    @classmethod
    def of(cls, context: EvaluationContext, *, bf16: bool) -> PlainStep:
        """Return the plain step of what is measured, from a copy of its weights."""
        components = context.components
        inputs = inputs_of(components.objective, components.manifest.guidance)
        channels = components.objective.channels(context.denoiser.codec)
        network = PlainJit(components.backbone, **inputs, channels=channels)
        network.load_state_dict(context.pipeline.network.state_dict())
        network.to(context.device)
        train = components.manifest.train
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=train.lr, betas=train.betas, weight_decay=train.weight_decay
        )
        averages = [{name: value.clone() for name, value in network.state_dict().items()} for _ in train.ema]
        return cls(context, network, plain(components.objective), optimizer, averages, bf16)

    def __call__(self, step: int) -> float:
        """Take a step; return its loss."""
        train = self.context.components.manifest.train
        denoiser = replace(self.context.denoiser, network=self.network, objective=self.objective)
        device = self.context.device.type
        self.optimizer.zero_grad()
        batch, total = self.context.batch(step), 0.0
        for part, condition in batch.parts(train.accumulate):
            half: AbstractContextManager[Any] = torch.autocast(device, torch.bfloat16) if self.bf16 else nullcontext()
            with half:
                loss = diffusion_loss(denoiser, part, condition=condition).sum() / train.batch_size
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        nn.utils.clip_grad_norm_(self.network.parameters(), train.clip_norm or float("inf"))
        self.optimizer.step()
        with torch.no_grad():
            for decay, average in zip(train.ema, self.averages, strict=True):
                for name, value in self.network.state_dict().items():
                    average[name].mul_(decay).add_(value, alpha=1 - decay)
        return total


def measure(steps: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each step, `repeats` times, turn by turn, after one of each that is not counted."""
    turns = [{name: seconds(step, device) for name, step in steps.items()} for _ in range(1 + repeats)]
    return {name: [turn[name] for turn in turns[1:]] for name in steps}


def main(words: Sequence[str]) -> None:
    """Compare."""
    parser = argparse.ArgumentParser(prog="python -m research.plain", description=__doc__)
    parser.add_argument("manifest", help="a path, or the id of a zoo model; its backbone is a jit")
    parser.add_argument("--data", type=Path, help="text: a file, a folder or a glob")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a manifest key")
    parser.add_argument("--repeats", type=int, default=5, help="turns (%(default)s)")
    parser.add_argument("--only", choices=[FP32, BF16], help="one of the two; bf16 is slow where it is emulated")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    asked = parser.parse_args(words)
    manager, device = create_plugin_manager(), find_device(asked.device)
    components = open_recipe(asked.manifest, data=asked.data, overrides=asked.set, manager=manager)
    manifest = components.manifest
    context = make_subject(components, device, note=lambda text: print(f"plain: {text}", file=sys.stderr))
    context.denoiser.network.train()
    ours, feed = count(), feed_of(context)
    steps: dict[str, Callable[[], object]] = {OURS: lambda: take_step(context, next(ours), feed)}
    wanted = [asked.only] if asked.only else [FP32, BF16]
    for name in wanted:
        steps[name] = _in_order(PlainStep.of(context, bf16=name == BF16))
    times = measure(steps, asked.repeats, device)
    ratios = {
        name: median(theirs / own for theirs, own in zip(times[name], times[OURS], strict=True)) for name in wanted
    }
    made = provenance(manifest_to_toml(components.manifest), versions_in_use(manager), describe_machine(device))
    if asked.json:
        document = {"schema": "jitkit.plain/1", "id": manifest.id, "execution": context.execution.facts()}
        figures = {"seconds": times, "ratio": ratios, "provenance": made.as_json()}
        print(json.dumps({**document, **figures}, indent=2, allow_nan=False))
        return
    print(f"{manifest.id}, batch {manifest.train.batch_size}, {made.machine}")
    print("\n| step | median | least | most | times jitkit's |\n| --- | ---: | ---: | ---: | ---: |")
    for name, found in times.items():
        label = f"{name} ({context.execution.precision})" if name == OURS else name
        print(
            f"| {label} | {median(found):.3f} s | {min(found):.3f} s | {max(found):.3f} s | {ratios.get(name, 1):.2f} |"
        )


def _in_order(step: PlainStep) -> Callable[[], float]:
    numbers = count()
    return lambda: step(next(numbers))


if __name__ == "__main__":
    run("plain", main)
