"""A run that a manifest describes, divided among the devices of a cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from jitkit.assembly import Components, assemble
from jitkit.diffusion.denoiser import Denoiser
from jitkit.errors import ManifestError, counted, shown
from jitkit.execution.config import ExecutionConfig
from jitkit.manifest.schema import Train
from jitkit.parallel.passes import Share
from jitkit.plan.cluster import Cluster
from jitkit.plan.layout import Layout, Layouts
from jitkit.plan.memory import USABLE
from jitkit.plan.optimizer_work import OptimizerWork
from jitkit.plan.simulation import SimulatedStep, simulate_step
from jitkit.training.cost_estimate import passes_per_image

LARGEST = 1024  # processes in a simulated group; creating one takes time, and more would add only replicas


@dataclass(frozen=True)
class PlannedRun:
    """Training on a cluster, with one process for each device."""

    components: Components
    cluster: Cluster

    @property
    def train(self) -> Train:
        """The table `[train]`."""
        return self.components.manifest.train

    @property
    def shard(self) -> int | None:
        """The size of a shard in the manifest; None if it is to be chosen."""
        shard = self.components.manifest.parallel.shard
        return None if shard == "auto" else shard

    @cached_property
    def denoiser(self) -> Denoiser:
        """The components of the model, with a network on `meta`."""
        return assemble(self.components, device="meta").denoiser

    @property
    def images(self) -> int:
        """Images that a process takes through the network at once."""
        limit, part = self.components.manifest.parallel.images, self.train.batch_size // self.train.accumulate
        return min(part if limit == "auto" else limit, -(-self.train.batch_size // self.cluster.count))

    @property
    def passes(self) -> int:
        """Passes of each process in a step."""
        return Share(self.train.batch_size, self.images, rank=0, world=self.cluster.count).num_passes

    @property
    def num_padding(self) -> int:
        """Images of a step that only keep processes at the same number of passes."""
        return self.images * self.passes * self.cluster.count - self.train.batch_size

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.train.batch_size * self.denoiser.codec.capacity

    def require_plannable(self) -> None:
        """Raise ManifestError for what cannot be planned, and for shards that do not divide the devices."""
        manifest, count = self.components.manifest, self.cluster.count
        problems: list[tuple[tuple[str, ...], str, str]] = []
        if manifest.teacher is not None:
            problems.append((("teacher",), "distillation", "training from text"))
        if self.train.precision == "fp32":
            problems.append(
                (("train", "precision"), shown("fp32"), "bf16 or auto, which the table of devices is about")
            )
        if self.shard and count % self.shard:
            divisors = f"a divisor of {counted(count, 'device')}, or auto"
            problems.append((("parallel", "shard"), str(self.shard), divisors))
        if problems:
            raise ManifestError(problems=[manifest.source.problem(*problem) for problem in problems])

    def layouts(self) -> Layouts:
        """Simulate a step, and return the layouts of the cluster."""
        step = self._simulate(self.images)
        flops = step.forward_flops * self.images * self.passes
        passes = passes_per_image(self.components)
        optimizer = OptimizerWork.of(self.denoiser.network, self.train)
        return Layouts(
            self.cluster,
            step,
            optimizer,
            num_averages=len(self.train.ema),
            model_flops=flops * passes,
            flops=flops * (passes + self.train.recompute),
            drawn=self.images * self.passes * 3 * self.denoiser.codec.image_size**2,
        )

    def too_large(self, layouts: Layouts, layout: Layout, larger: Layout | None) -> ManifestError:
        """Return the error for a step that does not fit in `layout`, but in a `larger` one, if there is one."""
        device = layout.cluster.device
        found = (
            f"{counted(self.images, 'image')} at once, which take {_gb(layout.memory.total)} on each {device.name} of "
            f"{_gb(device.memory.value)} in shards of {layout.shard}"
        )
        if larger is not None:
            expected, key = f"shards of {larger.shard}, which fit", ("parallel", "shard")
        else:
            most = self._most_images(layouts, layout)
            fits = f"at most {counted(most, 'image')} at once (parallel.images = {most})"
            expected = fits if most else "more devices or a smaller network: not one image fits"
            key = ("train", "batch_size")
        hint = "" if self.train.recompute else "train.recompute = true stores fewer activations."
        return ManifestError(problems=[self.components.manifest.source.problem(key, found, expected, hint)])

    def _most_images(self, layouts: Layouts, layout: Layout) -> int:
        """Return how many images fit into a pass in this layout. Memory is linear in them.

        With more than one pass, whole gradients wait for the last one.
        """
        if self.images == 1:
            return 0
        per_image = (layouts.step.peak_bytes - self._simulate(1).peak_bytes) / (self.images - 1)
        waiting = 4 * layouts.step.num_parameters if self.passes == 1 else 0
        excess = layout.memory.total + waiting - USABLE * layout.cluster.device.memory.value
        return max(0, self.images - math.ceil(excess / max(1.0, per_image)))

    def _simulate(self, images: int) -> SimulatedStep:
        """Return a step with `images` in a pass, on a compiled network in bf16.

        A layout with shards of 1 is derived from others: the engine neither gathers nor scatters then.
        """
        device = torch.device("cpu" if self.cluster.device.name == "cpu" else "cuda")
        shard = min(self.cluster.count, LARGEST) if self.shard in (None, 1) else self.shard
        return simulate_step(
            self.components,
            self.denoiser,
            ExecutionConfig(device, bf16=True, compiled=True, recompute=self.train.recompute),
            world=shard * min(self.cluster.count // shard, max(1, LARGEST // shard)),
            shard=shard,
            images=images,
            passes=self.passes,
        )


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
