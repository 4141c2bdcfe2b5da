"""One training step. The trainer and `jitkit bench` both use it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from jitkit import parallel
from jitkit.errors import ran_out_of_memory
from jitkit.manifest.schema import Train
from jitkit.training.clipping import clip_gradients
from jitkit.training.lr_schedule import learning_rate
from jitkit.training.plan import Plan
from jitkit.training.state import State
from jitkit.training.tasks.task import GradientTask, Lap, StepResult, no_lap


class GradientOutOfMemory(MemoryError):
    """Memory ran out before the step changed anything."""


@dataclass(frozen=True)
class StepOutcome:
    """The numbers of one step."""

    result: StepResult
    loss: float
    grad_norm: float  # before clipping
    lr: float
    problem: str | None = None  # what is not finite: "loss", "grad_norm", or "state"

    @property
    def is_finite(self) -> bool:
        """Whether loss, gradient, and the state before the step are finite. If not, the step changed nothing."""
        return self.problem is None


def train_step(task: GradientTask, state: State, train: Train, plan: Plan, *, lap: Lap = no_lap) -> StepOutcome:
    """Take one optimizer step, unless its loss, its gradient, or the state before it is not finite.

    The state after the last step is not checked; `State.invalid` is for that.

    Raises GradientOutOfMemory if the forward or backward pass runs out of memory. `state` is unchanged then.
    """
    step = state.step
    lr = learning_rate(step, train, num_steps=plan.num_steps, steps_per_epoch=plan.steps_per_epoch)
    state.optimizer.zero_grad()
    lap("optimizer")
    try:
        with parallel.reporting_lost_processes():
            result = task.backward(step)
            grad_norm = clip_gradients(state.network.parameters(), train.clip_norm)
            if step + 1 < plan.num_steps:
                task.prefetch(step + 1)
            # Prefetching overlaps with GPU work; the `.tolist()` below is the only synchronization of a step.
            numbers = (result.loss, grad_norm.to(result.loss), state.norm().to(result.loss))
            loss, norm, state_norm = torch.stack(numbers).tolist()
    except (RuntimeError, MemoryError) as error:
        state.optimizer.zero_grad()
        if not ran_out_of_memory(error):
            raise
        raise GradientOutOfMemory(str(error)) from error
    problem = next((name for name, value in (("loss", loss), ("grad_norm", norm)) if not math.isfinite(value)), None)
    if not math.isfinite(state_norm) and state.invalid():
        problem = "state"
    outcome = StepOutcome(result, loss, norm, lr, problem)
    if problem:
        state.optimizer.zero_grad()
        return outcome
    state.advance(lr)
    if state.schedule is not None and result.observed is not None:
        state.schedule.observe(*result.observed)
    lap("optimizer")
    return outcome
