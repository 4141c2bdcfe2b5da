"""The devices that `jitkit plan` knows, and what their numbers are based on. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Basis = Literal["measured", "published", "specified", "assumed"]

# Shares that devices without a measurement are assumed to reach: those of the H200.
PRODUCT_SHARE = 0.707  # of the specified FLOP/s, by large matrix products
COPY_SHARE = 0.83  # of the specified memory bandwidth, by copies


@dataclass(frozen=True)
class Figure:
    """A number about a device.

    It is `measured` (by `jitkit bench`), `published` (measured by others), `specified` by the vendor, or `assumed`.
    """

    value: float
    basis: Basis
    source: str


@dataclass(frozen=True)
class Device:
    """A kind of device. Bandwidths are per device and direction, in bytes per second."""

    name: str
    title: str
    peak: Figure  # FLOP/s of dense bf16 matrix products
    memory: Figure  # bytes
    memory_bandwidth: Figure
    link: Figure  # within a machine
    network: Figure  # between machines
    per_machine: int
    product_rate: Figure | None = None  # FLOP/s of large matrix products
    copy_rate: Figure | None = None  # bytes read and written per second by copies

    @property
    def products(self) -> Figure:
        """FLOP/s of the matrix products of a step."""
        source = f"{PRODUCT_SHARE:.1%} of the peak, as on an H200"
        return self.product_rate or Figure(PRODUCT_SHARE * self.peak.value, "assumed", source)

    @property
    def copies(self) -> Figure:
        """Bytes per second that copies read and write."""
        source = f"{COPY_SHARE:.0%} of the memory bandwidth, as on an H200"
        return self.copy_rate or Figure(COPY_SHARE * self.memory_bandwidth.value, "assumed", source)

    def figures(self) -> dict[str, Figure]:
        """Return all numbers by name."""
        numbers = {"peak": self.peak, "products": self.products, "memory": self.memory, "copies": self.copies}
        return {**numbers, "link": self.link, "network": self.network}


NDR = Figure(48.5e9, "published", "SimAI (Alibaba): ConnectX-7, a 400 Gb/s port per device")


def _nvlink(links: int, each: float) -> Figure:
    """Return the bandwidth of NVLink as NCCL itself counts it."""
    return Figure(links * each * 1e9, "published", f"NCCL's topology model: {links} links of {each} GB/s")


def _sheet(value: float, sheet: str) -> Figure:
    return Figure(value, "specified", f"{sheet} data sheet")


H200 = Device(
    name="h200",
    title="NVIDIA H200 SXM",
    peak=_sheet(989.4e12, "H200"),
    memory=_sheet(141e9, "H200"),
    memory_bandwidth=_sheet(4.8e12, "H200"),
    link=_nvlink(18, 20.6),
    network=NDR,
    per_machine=8,
    product_rate=Figure(700e12, "measured", "fastest product of JiT-L/4: jit-l4-batch-64-h200.json"),
    copy_rate=Figure(4.0e12, "measured", "copies of 128 MiB: jit-l4-batch-64-h200.json"),
)
H100 = Device(
    name="h100",
    title="NVIDIA H100 SXM",
    peak=_sheet(989.4e12, "H100"),
    memory=_sheet(80e9, "H100"),
    memory_bandwidth=_sheet(3.35e12, "H100"),
    link=_nvlink(18, 20.6),
    network=NDR,
    per_machine=8,
)
A100 = Device(
    name="a100",
    title="NVIDIA A100 SXM 80 GB",
    peak=_sheet(312e12, "A100"),
    memory=_sheet(80e9, "A100"),
    memory_bandwidth=_sheet(2.039e12, "A100"),
    link=_nvlink(12, 20.0),
    network=Figure(23.5e9, "published", "SimAI (Alibaba): ConnectX-6, a 200 Gb/s port per device"),
    per_machine=8,
)
B200 = Device(
    name="b200",
    title="NVIDIA B200 SXM",
    peak=_sheet(2250e12, "DGX B200"),
    memory=_sheet(180e9, "DGX B200"),
    memory_bandwidth=_sheet(8e12, "DGX B200"),
    link=_nvlink(18, 40.1),
    network=NDR,
    per_machine=8,
)
L40S = Device(
    name="l40s",
    title="NVIDIA L40S",
    peak=_sheet(362e12, "L40S"),
    memory=_sheet(48e9, "L40S"),
    memory_bandwidth=_sheet(864e9, "L40S"),
    link=Figure(24e9, "published", "NCCL's topology model: PCI Express 4.0 x16"),
    network=Figure(11.7e9, "assumed", "one 100 Gb/s port per device, without its protocol"),
    per_machine=8,
)
MI300X = Device(
    name="mi300x",
    title="AMD Instinct MI300X",
    peak=_sheet(1307.4e12, "MI300X"),
    memory=_sheet(192e9, "MI300X"),
    memory_bandwidth=_sheet(5.3e12, "MI300X"),
    link=Figure(7 * 48e9, "published", "AMD, rocm.blogs.amd.com, March 2025: 7 links of 48 GB/s"),
    network=NDR,
    per_machine=8,
)
CPU = Device(
    name="cpu",
    title="two Xeon cores with AMX",
    peak=Figure(0.80e12, "measured", "fastest matrix product: jit-b4-batch-8-xeon-amx-2-threads.json"),
    memory=Figure(8e9, "assumed", "4 GB per core"),
    memory_bandwidth=Figure(22.1e9, "measured", "copies of 128 MiB: jit-b4-batch-8-xeon-amx-2-threads.json"),
    link=Figure(1.2e9, "assumed", "10 Gb/s Ethernet"),
    network=Figure(1.2e9, "assumed", "10 Gb/s Ethernet"),
    per_machine=1,
    product_rate=Figure(0.39e12, "measured", "JiT-B/4, batch 8, forward and backward: the same document"),
    copy_rate=Figure(22.1e9, "measured", "copies of 128 MiB: the same document"),
)
DEVICES = {device.name: device for device in (H200, H100, A100, B200, L40S, MI300X, CPU)}
