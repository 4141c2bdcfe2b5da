"""Training of a rival, as jitkit trains: the same windows in the same order, optimizer, learning rates, clipping, averages."""

from __future__ import annotations

import math
import time
from statistics import median
from typing import Protocol

import torch
from rich.console import Console
from torch import Tensor, nn

from jitkit.data.windows import Windows
from jitkit.errors import DivergedError
from jitkit.execution.config import ExecutionConfig
from jitkit.manifest.schema import Train
from jitkit.progress import display
from jitkit.storage.weights import load_into
from jitkit.training.batches import step_generator
from jitkit.training.ema import Averages
from jitkit.training.optim.optimizer import build_optimizer, learning_rate
from jitkit.training.plan import Plan


class Rival(Protocol):
    """A model of windows of tokens."""

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of each of `tokens` [B, L], in nats a token; what is drawn comes from a CPU generator."""
        ...


def fit(rival: Rival, windows: Windows, train: Train, device: torch.device, console: Console) -> float:
    """Train `rival`, a module on `device`, and leave its averaged weights in it; return the median seconds of a step.

    Raises DivergedError at a loss or gradient that is not finite.
    """
    assert isinstance(rival, nn.Module)
    plan = Plan.of(train, windows.per_epoch)
    optimizer, averages = build_optimizer(rival, train), Averages(rival, train.ema)
    bf16 = ExecutionConfig.choose(train, device, num_steps=plan.num_steps, flops=0).bf16
    seconds = []
    with display(console, plan.num_steps, plan.num_epochs) as shown:
        for step in range(plan.num_steps):
            started = time.perf_counter()
            tokens = windows.tokens(windows.batch_starts(train.seed, step, train.batch_size)).to(device)
            optimizer.zero_grad()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss = rival.loss(tokens, step_generator(train.seed, step)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(rival.parameters(), train.clip_norm or math.inf)
            numbers = {"loss": float(loss.detach()), "grad_norm": float(norm)}
            if not all(map(math.isfinite, numbers.values())):
                raise DivergedError(str(numbers), "finite numbers", field=f"step {step + 1}")
            lr = learning_rate(step, train, num_steps=plan.num_steps, steps_per_epoch=plan.steps_per_epoch)
            optimizer.step(lr)
            averages.update(rival, step + 1)
            seconds.append(time.perf_counter() - started)
            rate = {"seconds": seconds[-1], "tokens_per_second": tokens.numel() / seconds[-1]}
            shown.step({"step": step + 1, "epoch": plan.epoch(step + 1), "lr": lr, **numbers, **rate})
    for average in list(averages.states.values())[:1]:
        load_into(rival, average, file="averages")
    rival.eval()
    return median(seconds)
