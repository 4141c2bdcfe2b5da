"""What a run needs before its first step, and what it will cost. Training, dry runs, and benchmarks all build it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit import parallel
from jitkit.assembly import Components, assemble, initialized_network
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.determinism import deterministic
from jitkit.execution.memory_usage import available_memory
from jitkit.execution.runtime_network import prepare_network
from jitkit.manifest.schema import Train
from jitkit.parallel.mesh import device_mesh, shard_size
from jitkit.parallel.passes import Share, share_of
from jitkit.parallel.sharding import shard_network
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.recipe import PreparedText, prepared_text
from jitkit.training.batches import Batch, draw_batch
from jitkit.training.cost_estimate import Estimate, choose_execution, estimate, require_memory
from jitkit.training.optim.optimizer import num_state_bytes
from jitkit.training.plan import Plan


@dataclass(frozen=True)
class TrainingSetup:
    """Model, text, plan, and execution of a run.

    The network of a new setup is on the `meta` device. `with_network` gives it weights, and then `with_runtime` decides
    how it runs.
    """

    components: Components
    pipeline: Pipeline
    text: PreparedText
    plan: Plan
    execution: ExecutionConfig

    @property
    def train(self) -> Train:
        """The table `[train]`."""
        return self.components.manifest.train

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        return self.execution.device

    @property
    def share(self) -> Share:
        """The images of each batch that this process computes."""
        images = self.components.manifest.parallel.images
        return share_of(self.train.batch_size, self.train.accumulate, None if images == "auto" else images)

    def batch(self, step: int) -> Batch:
        """Return the batch of step `step`."""
        return draw_batch(
            step,
            train=self.train,
            share=self.share,
            windows=self.text.train,
            denoiser=self.pipeline.denoiser,
            device=self.device,
        )

    def validation_tokens(self) -> Tensor:
        """Return the held-out windows [N, L] int64 of validation."""
        return self.text.validation_tokens(self.train.validation_windows)

    def with_train(self, train: Train) -> TrainingSetup:
        """Return the setup with another table `[train]`, of the same network and text."""
        manifest = self.components.manifest.model_copy(update={"train": train})
        return replace(
            self,
            components=replace(self.components, manifest=manifest),
            pipeline=replace(self.pipeline, manifest=manifest),
            plan=Plan.of(train, self.plan.num_windows),
        )

    def with_network(self) -> TrainingSetup:
        """Return the setup with an initialized network on its device.

        Raises ResourceError for a batch that does not fit into memory.
        """
        require_memory(self.components, self.pipeline.denoiser, self.execution)
        network = initialized_network(self.components, self.pipeline.codec, self.device)
        return replace(self, pipeline=replace(self.pipeline.with_network(network), device=self.device))

    def with_runtime(
        self, note: Callable[[str], None], interrupted: Callable[[], bool] = lambda: False
    ) -> TrainingSetup:
        """Return the setup with its network in the chosen precision, and compiled if that works on the first batch.

        `interrupted` returns whether a signal has arrived: then nothing follows from a failure. With several processes the
        network is sharded first.
        """
        if parallel.world_size() > 1:
            shard_network(self.pipeline.network, device_mesh(self.device, self._shard_size()))

        def trial(network: nn.Module) -> None:
            _, images, condition = next(self.batch(0).passes())
            loss = diffusion_loss(self.pipeline.with_network(network).denoiser, images, condition=condition).sum()
            with deterministic(self.device):
                loss.backward()  # type: ignore[no-untyped-call]

        network, execution = prepare_network(
            self.pipeline.network, self.execution, trial, note, interrupted=interrupted
        )
        return replace(self, pipeline=self.pipeline.with_network(network), execution=execution)

    def _shard_size(self) -> int:
        network, train = self.pipeline.network, self.train
        weights = sum(parameter.nbytes for parameter in network.parameters())
        state_bytes = weights * (2 + len(train.ema)) + num_state_bytes(network, train)
        free = -parallel.all_reduce_max(-(available_memory(self.device) or 2**62))
        return shard_size(self.components.manifest.parallel.shard, state_bytes=state_bytes, free_bytes=free)


def build_setup(
    components: Components, device: torch.device, *, progress: Progress = silent, min_steps: int = 0
) -> TrainingSetup:
    """Return the setup of a run on `device`, its text prepared and its network without weights.

    A run shorter than `min_steps` is compiled as one of that length would be. Only the cache of prepared text is written.
    Raises what `assemble` and `prepared_text` raise.
    """
    pipeline = assemble(components, device="meta")
    text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity, progress=progress)
    plan = Plan.of(components.manifest.train, text.train.per_epoch)
    execution = choose_execution(components, pipeline.network, device, max(plan.num_steps, min_steps))
    return TrainingSetup(components, pipeline, text, plan, execution)


@dataclass(frozen=True)
class DryRun:
    """A run before its first step."""

    plan: Plan
    estimate: Estimate
    fingerprint: str  # of the text and its split


def dry_run(
    components: Components, progress: Progress = silent, *, device: torch.device = torch.device("cpu")
) -> DryRun:
    """Return what training on `device` takes. The text is prepared, because the number of steps may depend on it.

    Raises what `build_setup` raises.
    """
    setup = build_setup(components, device, progress=progress)
    found = estimate(components, setup.pipeline.denoiser, setup.execution, num_steps=setup.plan.num_steps)
    return DryRun(setup.plan, found, setup.text.data.fingerprint)
