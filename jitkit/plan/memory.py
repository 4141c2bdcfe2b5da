"""The memory that training takes on each device, by the size of a shard."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.plan.devices import Device
from jitkit.plan.simulation import SimulatedStep

PROGRAM = 10**9  # bytes of CUDA, NCCL's buffers, and kernels; assumed
USABLE = 0.92  # share of a device's memory that a step can use before fragments and the allocator's cache fill the rest; assumed


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes at the peak of a step."""

    weights: int
    gradients: int
    optimizer: int
    averages: int
    temporary: int  # gathered weights, activations, buffers
    program: int

    @property
    def state(self) -> int:
        """What is split into shards."""
        return self.weights + self.gradients + self.optimizer + self.averages

    @property
    def total(self) -> int:
        """The sum of all."""
        return self.state + self.temporary + self.program

    def fits(self, device: Device) -> bool:
        """Return whether a step fits into the memory of `device`."""
        return self.total <= USABLE * device.memory.value


def device_memory(step: SimulatedStep, shard: int, *, optimizer_bytes: int, num_averages: int) -> DeviceMemory:
    """Return the memory of a process if `shard` of them hold one copy of the model.

    Weights, gradients, averages, and optimizer state (`optimizer_bytes` in total) are split. What else `step` holds at its
    peak does not depend on the size of a shard.
    """
    weights = round(step.state_bytes * step.shard / shard)
    return DeviceMemory(
        weights=weights,
        gradients=weights,
        optimizer=round(optimizer_bytes / shard),
        averages=num_averages * weights,
        temporary=max(0, step.peak_bytes - step.state_bytes),
        program=PROGRAM,
    )
