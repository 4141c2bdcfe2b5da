"""The one place where it is chosen how a network is run."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

from jitkit.execution.precision import has_fast_bf16
from jitkit.manifest.schema import Train

# Compiling takes a minute or two; shorter runs do not earn it back. On a GPU large and small steps gain alike; on a CPU what is
# gained grows with what there is to do.
MIN_COMPILED_STEPS = 500
MIN_COMPILED_FLOPS = 4e13


@dataclass(frozen=True)
class ExecutionConfig:
    """What the words "auto" in `train.precision` and `train.compile` came out as.

    Weights, averages and the optimizer are float32 always; float32 means float32 (torch's default: no TF32).
    """

    device: torch.device
    bf16: bool = False
    compiled: bool = False
    recompute: bool = False

    @classmethod
    def choose(cls, train: Train, device: torch.device, *, num_steps: int, flops: float) -> ExecutionConfig:
        """Return how a run of `num_steps` steps, of some `flops` in all, is executed on `device`.

        Compilation by itself is chosen for long runs only, and on devices where it was seen to pay.
        """
        pays = {"cpu": flops >= MIN_COMPILED_FLOPS, "cuda": num_steps >= MIN_COMPILED_STEPS}.get(device.type, False)
        compiled = train.compile == "on" or (train.compile == "auto" and pays)
        return cls(device, _wants_bf16(train, device), compiled, train.recompute)

    @classmethod
    def for_use(cls, train: Train, device: torch.device) -> ExecutionConfig:
        """Return how a trained network is run on `device`: in the precision of its training.

        Compiled only where the manifest asks for it, for texts are waited for, and batches have many shapes.
        """
        return cls(device, _wants_bf16(train, device), train.compile == "on")

    @property
    def precision(self) -> str:
        """The precision of the network's matrix products, as the manifest calls it."""
        return "bf16" if self.bf16 else "fp32"

    def facts(self) -> dict[str, str]:
        """Return the conditions under which equal runs are equal bit for bit, besides threads and versions."""
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        capability = f" {torch.backends.cpu.get_cpu_capability()}" if self.device.type == "cpu" else ""
        return {
            "device": f"{self.device.type} {kind}{capability}",
            "precision": self.precision,
            "compile": "on" if self.compiled else "off",
        }


def _wants_bf16(train: Train, device: torch.device) -> bool:
    return train.precision == "bf16" or (train.precision == "auto" and has_fast_bf16(device))
