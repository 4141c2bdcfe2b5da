"""The choice of precision and compilation."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from jitkit import parallel
from jitkit.execution.precision import has_fast_bf16
from jitkit.manifest.schema import Train

# Compilation takes one or two minutes, which shorter runs do not gain back. On a GPU the gain is the same for large and small
# steps; on a CPU it grows with the amount of work.
MIN_COMPILED_STEPS = 500
MIN_COMPILED_FLOPS = 4e13
MUON = "muon"  # key of `conditions` for a precision of Muon other than that of the run
MIN_COMPILED_MINUTES = 5.0  # of a run with a time budget, whose number of steps is not known yet


@dataclass(frozen=True)
class ExecutionConfig:
    """How a network runs, with "auto" in `train.precision` and `train.compile` resolved.

    Weights, averages, and optimizer state are always float32. Matrix products in float32 never use TF32.
    """

    device: torch.device
    bf16: bool = False
    compiled: bool = False
    by_block: bool = False  # whether each block is compiled by itself
    recompute: bool = False
    muon_bf16: bool | None = None  # precision of Muon's products; None: as the others

    @classmethod
    def for_training(cls, train: Train, device: torch.device, *, num_steps: int, flops: float) -> ExecutionConfig:
        """Return how to run `num_steps` training steps of `flops` in total on `device`.

        "auto" compiles only long runs, on devices where that was measured to pay off.
        """
        pays_off = {"cpu": flops >= MIN_COMPILED_FLOPS, "cuda": num_steps >= MIN_COMPILED_STEPS}.get(device.type, False)
        if train.minutes is not None and (pays_off or train.epochs is None):
            pays_off = device.type in ("cpu", "cuda") and train.minutes >= MIN_COMPILED_MINUTES
        compiled = train.compile in {"on", "blocks"} or (train.compile == "auto" and pays_off)
        return cls(device, _wants_bf16(train, device), compiled, _by_block(train), train.recompute)

    @classmethod
    def for_inference(
        cls, train: Train, device: torch.device, conditions: Mapping[str, str] | None = None
    ) -> ExecutionConfig:
        """Return how to run a trained network on `device`, in the precision of its training.

        "auto" takes the precision in the recorded `conditions` if they are of the same device: a new measurement may differ, and
        with it a text of the same seed. It does not compile, because a user is waiting and batches have many shapes.
        """
        config = cls(device, compiled=train.compile in {"on", "blocks"}, by_block=_by_block(train))
        recorded = conditions or {}
        if train.precision == "auto" and recorded.get("device") == config.conditions()["device"]:
            return replace(config, bf16=recorded.get("precision") == "bf16")
        return replace(config, bf16=_wants_bf16(train, device))

    def resumed(self, train: Train, conditions: Mapping[str, str], *, same_length: bool) -> ExecutionConfig:
        """Return the configuration of a resumed run that has recorded `conditions`: on the same device, "auto" is
        decided only once.

        A run that becomes longer may be compiled from now on.
        """
        if conditions.get("device") != self.conditions()["device"]:
            return self
        bf16, compiled = conditions.get("precision") == "bf16", conditions.get("compile") != "off"
        return replace(
            self,
            bf16=bf16 if train.precision == "auto" else self.bf16,
            compiled=compiled if train.compile == "auto" and same_length else self.compiled,
        )

    def uncompiled(self) -> ExecutionConfig:
        """Return the same configuration without compilation."""
        return replace(self, compiled=False)

    @property
    def precision(self) -> str:
        """The precision of matrix products, as in the manifest."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def optimizer_bf16(self) -> bool:
        """Whether Muon computes in bfloat16."""
        return self.bf16 if self.muon_bf16 is None else self.muon_bf16

    def conditions(self) -> dict[str, str]:
        """Return what must be equal for runs to reproduce bit for bit, besides threads and versions."""
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        capability = f" {torch.backends.cpu.get_cpu_capability()}" if self.device.type == "cpu" else ""
        muon = {} if self.optimizer_bf16 == self.bf16 else {MUON: "bf16" if self.optimizer_bf16 else "fp32"}
        return muon | {
            "device": f"{self.device.type} {kind}{capability}",
            "precision": self.precision,
            "compile": ("blocks" if self.by_block else "on") if self.compiled else "off",
        }


def _by_block(train: Train) -> bool:
    """Return whether blocks are compiled one by one: a sharded network is gathered between them, which breaks its graph."""
    return train.compile == "blocks" or parallel.world_size() > 1


def _wants_bf16(train: Train, device: torch.device) -> bool:
    return train.precision == "bf16" or (train.precision == "auto" and has_fast_bf16(device))
