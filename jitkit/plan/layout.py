"""Ways to divide a cluster into copies of the model, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jitkit.parallel.mesh import automatic_shard
from jitkit.plan.cluster import Cluster
from jitkit.plan.memory import DeviceMemory, device_memory
from jitkit.plan.optimizer_work import OptimizerWork
from jitkit.plan.simulation import SimulatedStep
from jitkit.plan.step_time import StepTime, Work, step_time
from jitkit.plan.traffic import Traffic, Wire

SIMILAR = 1.01  # ratio of step times that the prediction cannot tell apart


@dataclass(frozen=True)
class Layout:
    """A cluster in which `shard` processes hold one copy of the model together."""

    cluster: Cluster
    shard: int
    memory: DeviceMemory
    work: Work
    traffic: Traffic
    time: StepTime

    @property
    def replicas(self) -> int:
        """The number of copies."""
        return self.cluster.count // self.shard

    @property
    def fits(self) -> bool:
        """Whether a step fits into the memory of a device."""
        return self.memory.fits(self.cluster.device)

    @property
    def mfu(self) -> float:
        """The model's FLOP/s as a share of the device's peak."""
        return self.time.mfu(self.work, self.cluster.device.peak.value)


@dataclass(frozen=True)
class Layouts:
    """A simulated step on a cluster, for any size of a shard."""

    cluster: Cluster
    step: SimulatedStep
    optimizer: OptimizerWork
    num_averages: int
    model_flops: float  # of a step on each device
    flops: float  # with recomputation
    drawn: int  # random numbers of the batch of each device

    def of(self, shard: int) -> Layout:
        """Return the layout with this size of a shard."""
        optimizer = self.optimizer
        memory = device_memory(self.step, shard, optimizer_bytes=optimizer.state_bytes, num_averages=self.num_averages)
        work = Work(
            model_flops=self.model_flops,
            flops=self.flops,
            created_bytes=self.step.created_bytes,
            optimizer_flops=optimizer.flops(shard),
            optimizer_bytes=optimizer.touched_bytes / shard,
            drawn=self.drawn,
        )
        traffic = self.step.traffic + optimizer.traffic(shard)
        if shard == 1:
            traffic = replace(traffic, gathers=())
        time = step_time(work, traffic, Wire(self.cluster, shard))
        return Layout(self.cluster, shard, memory, work, traffic, time)

    def all(self) -> list[Layout]:
        """Return all layouts, with the smallest shards first."""
        return [self.of(shard) for shard in self.cluster.shards()]

    @property
    def automatic(self) -> Layout:
        """The layout that `parallel.shard = "auto"` chooses."""
        local, device = min(self.cluster.count, self.cluster.device.per_machine), self.cluster.device
        state = self.of(1).memory.state
        return self.of(automatic_shard(self.cluster.count, local, state_bytes=state, free_bytes=device.memory.value))


def fastest(layouts: Sequence[Layout]) -> Layout | None:
    """Return the fastest layout that fits, with the smallest shards if several are as fast; None if none fits."""
    fitting = [layout for layout in layouts if layout.fits]
    best = min((layout.time.total for layout in fitting), default=0.0)
    return next((layout for layout in fitting if layout.time.total <= SIMILAR * best), None)
