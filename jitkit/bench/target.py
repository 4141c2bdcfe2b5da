"""What is measured: a model ready to train, with its text, on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from jitkit.assembly import Components, assemble
from jitkit.data.shards import PreparedData
from jitkit.data.windows import Windows
from jitkit.diffusion.denoiser import Denoiser
from jitkit.execution.config import MIN_COMPILED_STEPS, ExecutionConfig
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.recipe import prepared_text
from jitkit.training.batches import Batch, draw_batch
from jitkit.training.cost.dry_run import dry_run
from jitkit.training.cost.estimate import Estimate
from jitkit.training.plan import Plan
from jitkit.training.setup import executed
from jitkit.training.state import State


@dataclass(frozen=True)
class BenchmarkTarget:
    """A model before its first step, as `jitkit train` would train it."""

    components: Components
    pipeline: Pipeline
    denoiser: Denoiser  # its network runs in the chosen precision; the weights are those of `pipeline`
    execution: ExecutionConfig
    data: PreparedData
    windows: Windows
    plan: Plan
    state: State
    estimate: Estimate

    @property
    def device(self) -> torch.device:
        """Where it is measured."""
        return self.execution.device

    def batch(self, step: int) -> Batch:
        """Return the batch of a step of training."""
        train = self.components.manifest.train
        return draw_batch(
            step,
            seed=train.seed,
            batch_size=train.batch_size,
            windows=self.windows,
            denoiser=self.denoiser,
            device=self.device,
        )


def build_target(
    components: Components, device: torch.device, *, note: Callable[[str], None], progress: Progress = silent
) -> BenchmarkTarget:
    """Return what a manifest describes, ready to be measured as a long run takes it, however few steps are planned.

    A step is one that learns from text, whatever `[teacher]` says.
    Raises what `jitkit train` raises before its first step.
    """
    components = replace(components, manifest=components.manifest.model_copy(update={"teacher": None}))
    train, long = components.manifest.train, MIN_COMPILED_STEPS  # a short run would not be worth compiling for
    expected = dry_run(components, progress, device=device, at_least=long)
    pipeline = assemble(components, device=device)
    text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity, progress=progress)
    windows = text.train
    steps = max(expected.plan.num_steps, long)
    network, execution = executed(components, pipeline, windows, steps, device=device, note=note)
    return BenchmarkTarget(
        components,
        pipeline,
        pipeline.with_network(network).denoiser,
        execution,
        text.data,
        windows,
        expected.plan,
        State.new(pipeline.network, pipeline.denoiser.schedule, train),
        expected.estimate,
    )
