"""The model that is measured, ready to train on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from jitkit.assembly import Components
from jitkit.execution.config import MIN_COMPILED_STEPS
from jitkit.execution.randomness import keep_global_generators
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.training.cost_estimate import Estimate, estimate
from jitkit.training.setup import TrainingSetup, build_setup
from jitkit.training.state import State
from jitkit.training.tasks.denoising import DenoisingTask, Prefetcher
from jitkit.training.tasks.task import Lap, no_lap


@dataclass(frozen=True)
class BenchmarkTarget:
    """A model before its first step, as `jitkit train` would train it."""

    setup: TrainingSetup
    state: State
    estimate: Estimate

    @property
    def device(self) -> torch.device:
        """The device it is measured on."""
        return self.setup.device

    @property
    def pipeline(self) -> Pipeline:
        """The model."""
        return self.setup.pipeline

    def task(self, batches: Prefetcher | None = None, lap: Lap = no_lap) -> DenoisingTask:
        """Return the training task, with `batches` as in training by default."""
        setup, denoiser = self.setup, self.pipeline.denoiser
        batches = batches or Prefetcher.of_training(setup.batch, denoiser.schedule, self.device)
        return DenoisingTask(setup.train, denoiser, batches, setup.text.train.tokens([]), self.device, lap)


def build_target(
    components: Components,
    device: torch.device,
    *,
    note: Callable[[str], None],
    progress: Progress = silent,
    trains: bool = True,
) -> BenchmarkTarget:
    """Return the model of a manifest, run as in a long training run, however few steps the manifest has.

    Its task is denoising, even if the manifest has `[teacher]`. If it never `trains`, its network is not compiled. Raises
    what `jitkit train` raises before its first step.
    """
    components = replace(components, manifest=components.manifest.model_copy(update={"teacher": None}))
    setup = build_setup(components, device, progress=progress, min_steps=MIN_COMPILED_STEPS)
    expected = estimate(components, setup.pipeline.denoiser, setup.execution, num_steps=setup.plan.num_steps)
    plan = replace(setup.plan, num_steps=max(setup.plan.num_steps, MIN_COMPILED_STEPS))  # more than are measured
    with keep_global_generators(device):
        setup = replace(setup, plan=plan).with_network()
    if trains:
        setup = setup.with_runtime(note)
    state = State.new(setup.pipeline.network, setup.train, setup.pipeline.denoiser.schedule)
    return BenchmarkTarget(setup, state, expected)
