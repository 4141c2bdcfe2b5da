"""Training of a token model with jitkit's windows and their order, optimizer, learning rates, clipping, and averages."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
from jitkit.training.plan import Plan
from jitkit.training.state import State
from jitkit.training.step import train_step
from jitkit.training.tasks.task import StepResult


class TokenLoss(Protocol):
    """A model of token windows."""

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of each of `tokens` [B, L], in nats per token. Randomness comes from a CPU generator."""


@dataclass(frozen=True)
class TokenTask:
    """The mean loss of a token model over the windows that jitkit trains on; see `GradientTask`."""

    model: TokenLoss
    windows: Windows
    train: Train
    device: torch.device
    bf16: bool

    def prefetch(self, step: int) -> None:
        """Do nothing. A batch of tokens is quick to load."""

    def backward(self, step: int) -> StepResult:
        """Add the gradient of the batch's mean loss to the parameters."""
        train = self.train
        tokens = self.windows.tokens(self.windows.batch_starts(train.seed, step, train.batch_size)).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.model.loss(tokens, step_generator(train.seed, step)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return StepResult(loss.detach(), tokens.numel())


def fit(model: TokenLoss, windows: Windows, train: Train, device: torch.device, console: Console) -> float:
    """Train `model`, a module on `device`, and load its averaged weights. Return the median seconds per step.

    Raises DivergedError if a loss or gradient is not finite.
    """
    assert isinstance(model, nn.Module)
    plan = Plan.of(train, windows.per_epoch)
    bf16 = ExecutionConfig.for_training(train, device, num_steps=plan.num_steps, flops=0).bf16
    task, state, seconds = TokenTask(model, windows, train, device, bf16), State.new(model, train, bf16=bf16), []
    with display(console, plan.num_steps, plan.num_epochs) as shown:
        for step in range(1, plan.num_steps + 1):
            started = time.perf_counter()
            outcome = train_step(task, state, train, plan)
            numbers = {"loss": outcome.loss, "grad_norm": outcome.grad_norm, "lr": outcome.lr}
            if not outcome.is_finite:
                raise DivergedError(str(numbers), "finite numbers", field=f"step {step}")
            seconds.append(time.perf_counter() - started)
            rate = {"seconds": seconds[-1], "tokens_per_second": outcome.result.num_tokens / seconds[-1]}
            shown.step({"step": step, "epoch": plan.epoch(step), **numbers, **rate})
    for average in list(state.averages.states.values())[:1]:
        load_into(model, average, file="averages")
    model.eval()
    return median(seconds)
