"""The model that is measured, ready to train on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from jitkit.assembly import Components
from jitkit.bench.timing import measure_seconds
from jitkit.errors import counted
from jitkit.execution.config import MIN_COMPILED_STEPS
from jitkit.execution.randomness import keep_global_generators
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.training.cost_estimate import Estimate, estimate
from jitkit.training.setup import TrainingSetup, build_setup
from jitkit.training.state import State
from jitkit.training.tasks.denoising import DenoisingTask, Prefetcher
from jitkit.training.tasks.task import Lap, no_lap

SIDE = 1024  # of a matrix


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
        setup, denoiser = self.setup, self.pipeline.denoiser.as_trained()
        batches = batches or Prefetcher.of_training(setup.batch, denoiser.schedule, self.device)
        return DenoisingTask(setup.train, denoiser, batches, setup.text.train.tokens([]), self.device, lap)


def build_target(
    components: Components,
    device: torch.device,
    *,
    note: Callable[[str], None],
    progress: Progress = silent,
    trains: bool = True,
    step_seconds: float = float("inf"),
) -> BenchmarkTarget:
    """Return the model of a manifest, run as in a long training run, however few steps the manifest has.

    Its task is denoising, even if the manifest has `[teacher]`. Unless it `trains`, its network is not compiled. If a
    step would take longer than `step_seconds` here, batches are smaller. Raises what `jitkit train` raises before its
    first step.
    """
    note("preparing the text and the model")
    components = replace(components, manifest=components.manifest.model_copy(update={"teacher": None}))
    setup = build_setup(components, device, progress=progress, min_steps=MIN_COMPILED_STEPS)
    if step_seconds < float("inf"):
        setup = _within(setup, step_seconds, note)
    expected = estimate(setup.components, setup.pipeline.denoiser, setup.execution, num_steps=setup.plan.num_steps)
    plan = replace(setup.plan, num_steps=max(setup.plan.num_steps, MIN_COMPILED_STEPS))  # more than are measured
    with keep_global_generators(device):
        setup = replace(setup, plan=plan).with_network()
    if trains:
        if setup.execution.compiled:
            note("compiling the network, which takes a minute or more")
        setup = setup.with_runtime(note)
    schedule, bf16 = setup.pipeline.denoiser.schedule, setup.execution.optimizer_bf16
    state = State.new(setup.pipeline.network, setup.train, schedule, bf16=bf16)
    return BenchmarkTarget(setup, state, expected)


def _within(setup: TrainingSetup, step_seconds: float, note: Callable[[str], None]) -> TrainingSetup:
    """Return the setup with a batch small enough for a step of `step_seconds` at half the speed of a matrix product."""
    train, network = setup.train, setup.pipeline.network
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    image_seconds = 6 * num_parameters * _positions(setup) / (_product_rate(setup.device) / 2)
    fits = int(step_seconds / image_seconds) // train.accumulate * train.accumulate
    if fits >= train.batch_size:
        return setup
    batch_size = max(fits, train.accumulate)
    note(
        f"measuring batches of {counted(batch_size, 'image')}: a step of {train.batch_size} would take about"
        f" {train.batch_size * image_seconds:,.0f} s on this machine"
    )
    return setup.with_train(train.model_copy(update={"batch_size": batch_size}))


def _positions(setup: TrainingSetup) -> int:
    """Return the number of patches of an image, which the network processes in parallel."""
    backbone = setup.components.backbone
    return int((backbone.image_size // backbone.patch_size) ** 2)


def _product_rate(device: torch.device) -> float:
    """Return a rough estimate of the FLOP/s of a matrix product."""
    matrix = torch.ones(SIDE, SIDE, device=device)
    return 2 * SIDE**3 / measure_seconds(lambda: matrix @ matrix, device).median
