"""A number of equal devices, and the groups of processes that exchange data on them. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jitkit.errors import UsageError, did_you_mean, shown
from jitkit.plan.devices import DEVICES, Device

MAX_DEVICES = 16_384  # more would say nothing: no run that large was there to compare with
EXAMPLE = "a number and a device, such as 8xh200"


@dataclass(frozen=True)
class Group:
    """Processes that exchange data with each other."""

    size: int
    local: int  # of them on each machine

    @property
    def machines(self) -> int:
        """The machines that the group is spread over."""
        return -(-self.size // self.local)


@dataclass(frozen=True)
class Cluster:
    """Equal devices, with one process each."""

    device: Device
    count: int

    @classmethod
    def parse(cls, text: str) -> Cluster:
        """Return the cluster of an option such as "8xh200", or "h200" for one device. Raises UsageError."""
        match = re.fullmatch(r"(?:([0-9]{1,9})\s*x\s*)?([a-z][a-z0-9-]*)", text.strip().lower())
        if match is None:
            raise UsageError(shown(text), EXAMPLE, field="--on")
        count, name = int(match[1] or 1), match[2]
        if name not in DEVICES:
            expected = f"one of {', '.join(DEVICES)}"
            raise UsageError(f"device {shown(name)}", expected, field="--on", hint=did_you_mean(name, DEVICES))
        if not 1 <= count <= MAX_DEVICES:
            raise UsageError(f"{count} devices", f"1 to {MAX_DEVICES:,}", field="--on")
        return cls(DEVICES[name], count)

    @property
    def machines(self) -> int:
        """The number of machines."""
        return -(-self.count // self.device.per_machine)

    def shard_group(self, shard: int) -> Group:
        """Return the group of processes that hold one copy of the model: neighbors, as in the mesh (replicas, shards)."""
        return Group(shard, min(shard, self.device.per_machine))

    def replica_group(self, shard: int) -> Group:
        """Return the group of processes that hold the same part of the model."""
        size = self.count // shard
        return Group(size, min(size, max(1, self.device.per_machine // shard)))

    def shards(self) -> list[int]:
        """Return the sizes of a copy of the model to choose from: divisors of the count, powers of 2 times a machine."""
        natural = {2**power for power in range(15)} | {self.device.per_machine * 2**power for power in range(12)}
        return sorted(size for size in natural | {self.count} if self.count % size == 0)
