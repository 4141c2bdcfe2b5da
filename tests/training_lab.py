"""Training runs that take a second, in this process, with real files and real signals."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from jitkit import hookimpl
from jitkit.checkpoints.format import load_checkpoint
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.manifest.reader import parse_manifest
from jitkit.recipe import resolve_recipe
from jitkit.training.reporting import TIMES
from jitkit.training.run import Request, Result, train
from tests.tiny import tiny_toml

# 16 tokens per image, three short epochs.
RECIPE = tiny_toml(
    "codec={use='bits'}",
    "backbone={use='jit', image_size=8, patch_size=2, embed_dim=16, depth=1, num_heads=1}",
    "sampler.steps=2",
    "data={use='text', path='replaced.txt', validation_fraction=0.3}",
    "train={epochs=3, batch_size=6, lr=1e-2, warmup_steps=2, decay='cosine', validation_windows=5, precision='fp32', keep=9}",
)


class StopAt:
    """A plugin that sends this process a signal during a step, like a user or a job queue."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    @hookimpl
    def jitkit_run_started(self) -> None:
        if self.step == 0:
            os.kill(os.getpid(), self.number)

    @hookimpl
    def jitkit_step_finished(self, step: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), self.number)


@dataclass
class Lab:
    """A folder with a short text to train on."""

    home: Path
    words: str = "the quick brown fox jumps over the lazy dog. "
    console: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.text = self.home / "text.txt"
        self.text.write_text(self.words * 16)

    def train(self, out: str, *overrides: str, plugins: tuple[object, ...] = (), **request: Any) -> Result:
        """Train in the folder `out`. `console` captures stderr."""
        manager = create_plugin_manager(plugins)
        manifest = parse_manifest(RECIPE, "tiny.toml", overrides)
        components = resolve_recipe(manifest, self.home, Registry(manager), request.pop("data", self.text))
        console = Console(file=self.console, soft_wrap=True)
        folder = self.home / out
        device = request.pop("device", torch.device("cpu"))
        return train(Request(components, manager, folder, device, console, **request))

    def output(self) -> str:
        """Return what has been printed since the last call."""
        text = self.console.getvalue()
        self.console.truncate(self.console.seek(0))
        return text


def uninterrupted(home: Path, *overrides: str, **request: Any) -> Path:
    """Return the folder of a run of the recipe from start to end, which fixtures of a module share."""
    lab, threads = Lab(home), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JITKIT_CACHE", str(home / "cache"))
        torch.set_num_threads(1)
        lab.train("run", *overrides, **request)
        torch.set_num_threads(threads)
    return home / "run"


def cases(values: Mapping[str, Any], quick: Collection[str]) -> list[Any]:
    """Return the values as parameters of a test by their names. Those that are not `quick` are slow."""
    return [
        pytest.param(value, id=name, marks=[] if name in quick else pytest.mark.slow) for name, value in values.items()
    ]


def digest(path: Path) -> str:
    """Return the SHA-256 of everything in a checkpoint that describes the state of the run."""
    checkpoint = load_checkpoint(path)
    summary = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                summary.update(str(key).encode())
                add(value[key])
        elif isinstance(value, torch.Tensor):
            summary.update(f"{value.dtype}{tuple(value.shape)}".encode())
            summary.update(
                value.contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else repr(value).encode()
            )
        else:
            summary.update(repr(value).encode())

    for part in ("model_state_dict", "ema_state_dict", "optimizer_state_dict", "rng", "schedule_state_dict"):
        add(getattr(checkpoint, part))
    add([checkpoint.epoch, checkpoint.step, checkpoint.loss, checkpoint.best_loss])
    return summary.hexdigest()


def metrics(folder: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.jsonl` without times, which differ between equal runs."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
