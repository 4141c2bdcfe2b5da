"""The time that collective operations take on a cluster.

In a ring, every device receives each byte once and sends it on. NCCL uses trees only for sums. The latencies are those of its
own model (src/graph/tuning.cc, ring, protocol "Simple").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jitkit.plan.cluster import Cluster, Group
from jitkit.plan.devices import Device

START = 8.4e-6  # seconds to begin an operation
LINK_HOP = 3.4e-6  # seconds from device to device in a machine
NETWORK_HOP = 14.0e-6  # seconds from machine to machine


@dataclass(frozen=True)
class Traffic:
    """The bytes that a step exchanges, operation by operation, whatever the size of a shard.

    `gathers` are the gathered weights, `reduces` the gradients before they are scattered, and `exchanges` whole matrices
    that move to their owners or back.
    """

    gathers: tuple[int, ...] = ()
    reduces: tuple[int, ...] = ()
    exchanges: tuple[int, ...] = ()

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.gathers + other.gathers, self.reduces + other.reduces, self.exchanges + other.exchanges)

    def __mul__(self, times: int) -> Traffic:
        return Traffic(self.gathers * times, self.reduces * times, self.exchanges * times)


@dataclass(frozen=True)
class Wire:
    """The connections of a cluster whose processes hold one copy of the model in groups of `shard`."""

    cluster: Cluster
    shard: int

    def gather_seconds(self, num_bytes: float) -> float:
        """Return the time in which each process of a group receives the parts of all others, `num_bytes` in total."""
        return _ring(num_bytes, self.cluster.shard_group(self.shard), self.cluster.device)

    def reduce_seconds(self, num_bytes: float) -> float:
        """Return the time to sum gradients of `num_bytes` over all processes and leave each its part.

        Parts are scattered in the shard group, then summed over replicas.
        """
        replicas = self.cluster.replica_group(self.shard)
        return self.gather_seconds(num_bytes) + _all_reduce(num_bytes / self.shard, replicas, self.cluster.device)

    def exchange_seconds(self, num_bytes: float) -> float:
        """Return the time to move matrices of `num_bytes` in a shard group between their rows and their owners."""
        group = self.cluster.shard_group(self.shard)
        if group.size == 1:
            return 0.0
        own, device = num_bytes / group.size, self.cluster.device
        inside = own * (group.local - 1) / group.size / device.link.value
        outside = own * (group.size - group.local) / group.size / device.network.value
        return START + max(inside, outside)


def _ring(num_bytes: float, group: Group, device: Device) -> float:
    """Return the time of one round of a ring. Between machines it uses the ports of all its devices at once."""
    if group.size == 1:
        return 0.0
    between = group.machines - 1
    latency = START + (group.size - 1 - between) * LINK_HOP + between * NETWORK_HOP
    return latency + num_bytes * (group.size - 1) / group.size / _bandwidth(group, device)


def _all_reduce(num_bytes: float, group: Group, device: Device) -> float:
    """Return the time to sum values over a group: two rounds of a ring, or up and down a tree if its latency is less."""
    if group.size == 1:
        return 0.0
    hops = (group.local - 1) * LINK_HOP + math.ceil(math.log2(group.machines)) * NETWORK_HOP
    tree = START + 2 * hops + 2 * num_bytes / _bandwidth(group, device)
    return min(2 * _ring(num_bytes, group, device), tree)


def _bandwidth(group: Group, device: Device) -> float:
    bandwidth = device.link.value if group.local > 1 else device.network.value
    return min(bandwidth, group.local * device.network.value) if group.machines > 1 else bandwidth
