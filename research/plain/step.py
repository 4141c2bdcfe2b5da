"""A training step in plain eager PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jitkit.bench.target import BenchmarkTarget
from jitkit.diffusion.conditioning import network_inputs
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.protocols import Objective
from research.plain.network import PlainJit
from research.plain.objective import plain


@dataclass
class PlainStep:
    """The plain network and objective, with torch's AdamW and averages."""

    target: BenchmarkTarget
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    averages: list[dict[str, Tensor]]
    bf16: bool

    @classmethod
    def of(cls, target: BenchmarkTarget, *, bf16: bool) -> PlainStep:
        """Return the plain counterpart of `target`, with a copy of its weights."""
        components = target.setup.components
        inputs = network_inputs(components.objective, components.manifest.guidance)
        channels = components.objective.channels(target.pipeline.codec)
        network = PlainJit(components.backbone, inputs, channels)
        network.load_state_dict(target.pipeline.network.state_dict())
        network.to(target.device)
        train = components.manifest.train
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=train.lr, betas=train.betas, weight_decay=train.weight_decay
        )
        averages = [{name: value.clone() for name, value in network.state_dict().items()} for _ in train.ema]
        return cls(target, network, plain(components.objective), optimizer, averages, bf16)

    def __call__(self, step: int) -> float:
        """Take a step and return its loss."""
        train = self.target.setup.train
        denoiser = replace(self.target.pipeline.denoiser, network=self.network, objective=self.objective)
        device = self.target.device.type
        self.optimizer.zero_grad()
        batch, total = self.target.setup.batch(step), 0.0
        for _, part, condition in batch.passes():
            autocast: AbstractContextManager[Any] = (
                torch.autocast(device, torch.bfloat16) if self.bf16 else nullcontext()
            )
            with autocast:
                loss = diffusion_loss(denoiser, part, condition=condition).sum() / train.batch_size
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        nn.utils.clip_grad_norm_(self.network.parameters(), train.clip_norm or float("inf"))
        self.optimizer.step()
        self._update_averages(train.ema)
        return total

    @torch.no_grad()
    def _update_averages(self, decays: Sequence[float]) -> None:
        for decay, average in zip(decays, self.averages, strict=True):
            for name, value in self.network.state_dict().items():
                average[name].mul_(decay).add_(value, alpha=1 - decay)
