"""The time of a training step, predicted from the work of one device and the traffic between all of them."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.plan.traffic import Traffic, Wire

# Bytes that a compiled step moves for each byte of the tensors that it creates. Fitted to the forward and backward
# passes of JiT-L/4 (batch 64) and JiT-B/4 (batch 256) on an H200: 2.4 and 2.2, in addition to matrix products at full speed.
MOVED = 2.3
DRAWN = 110e6  # random numbers that a process draws per second; measured on an H200's host and on two Xeon cores


@dataclass(frozen=True)
class Work:
    """What one device computes in a step."""

    model_flops: float  # of forward and backward passes; the basis of the MFU
    flops: float  # of the same, with recomputation
    created_bytes: float  # of the tensors of forward and backward passes, with those of the engine
    optimizer_flops: float  # of the optimizer's own matrix products
    optimizer_bytes: float  # read and written by clipping, optimizer, averages, and checks
    drawn: float = 0.0  # random numbers of the batch


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and where they go. Computation, communication, and data overlap; the rest is added."""

    compute: float  # forward and backward passes
    communication: float  # of weights and gradients
    data: float  # drawing the next batch, on the host
    exposed: float  # the first weights, the last gradients, and the exchange of the optimizer
    optimizer: float

    @property
    def total(self) -> float:
        """The length of the step."""
        return max(self.compute, self.communication, self.data) + self.exposed + self.optimizer

    @property
    def bound(self) -> str:
        """What the step waits for most."""
        parts = {"computation": self.compute, "communication": self.communication, "data": self.data}
        return max(parts, key=lambda name: parts[name])

    def mfu(self, work: Work, peak: float) -> float:
        """Return the model's FLOP/s as a share of the `peak` of the device."""
        return work.model_flops / self.total / peak


def step_time(work: Work, traffic: Traffic, wire: Wire) -> StepTime:
    """Return the time of a step of `work` per device, with `traffic` over `wire`."""
    device = wire.cluster.device
    gathers = [wire.gather_seconds(size) for size in traffic.gathers]
    reduces = [wire.reduce_seconds(size) for size in traffic.reduces]
    hidden = sum(gathers) + sum(reduces)
    ends = sum(gathers[:1]) + sum(reduces[-1:])
    return StepTime(
        compute=work.flops / device.products.value + MOVED * work.created_bytes / device.copies.value,
        communication=hidden - ends,
        data=work.drawn / DRAWN,
        exposed=ends + sum(map(wire.exchange_seconds, traffic.exchanges)),
        optimizer=work.optimizer_flops / device.products.value + work.optimizer_bytes / device.copies.value,
    )
