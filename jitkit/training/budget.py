"""A time budget (`train.minutes`) becomes a number of steps before the first one is taken.

Steps and one batch of validation are timed with the weights of the run, which are restored, and with other optimizer state
and random numbers. So the run is the same, bit for bit, as one with that number of steps in `train.max_steps`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from statistics import mean

import torch

from jitkit import parallel
from jitkit.errors import counted
from jitkit.evaluation.context import eval_mode
from jitkit.execution.device import seconds
from jitkit.training.evaluated import evaluated
from jitkit.training.optim.optimizer import num_state_bytes
from jitkit.training.run_report import MAX_STEPS, NUM_SAMPLES
from jitkit.training.setup import TrainingSetup
from jitkit.training.state import State
from jitkit.training.step import train_step
from jitkit.training.tasks.task import TrainingTask

FIRST_VALIDATION = 75.0  # seconds of steps before the first validation, which shows a sample
MAX_VALIDATIONS = 20
MAX_SHARE = 0.1  # of the time, for validations
RESERVE = 0.05  # of the time, for slower steps
LEAST_SHARE = 0.5  # of the time, for steps and validations, however long the preparation took

MEASURED_SECONDS, MIN_MEASURED, MAX_MEASURED = 3.0, 3, 20  # steps that are timed, after a first one
TIMED_SAMPLING_STEPS = 2
PAGE_SECONDS = 1.0  # to write the report page and its pictures
FEW_STEPS = 20  # fewer are hardly a training
DISK = 1e8  # bytes per second, for checkpoints


@dataclass(frozen=True)
class Costs:
    """Seconds of a step, and of a validation with its samples, report, and checkpoints."""

    step: float
    validation: float

    def fit(self, available: float, *, most: int | None = None, every: int | None = None) -> tuple[int, int]:
        """Return how many steps fit into `available` seconds, at least 1 and at most `most`, and how often to validate.

        `every` fixes the steps between two validations. By default they are spread evenly, and the last one is the end.
        """
        between = max(FIRST_VALIDATION, available / MAX_VALIDATIONS, self.validation / MAX_SHARE)
        interval = every or math.ceil(between / self.step)
        full, rest = divmod(available, interval * self.step + self.validation)
        steps = int(full) * interval + max(0, int((rest - self.validation) / self.step))
        steps = max(1, min(steps, most or steps))
        return steps, every or math.ceil(steps / math.ceil(steps / interval))


def fit_to_minutes(
    setup: TrainingSetup, task: TrainingTask, *, started: float, note: Callable[[str], None]
) -> TrainingSetup:
    """Return the setup with `train.max_steps` and `train.validate_steps` instead of `train.minutes`.

    The time counts from `started` (of `time.monotonic`). `train.epochs`, if set, limits the steps. In a group of
    processes, all must call this, and the main process decides.
    """
    minutes = setup.train.minutes
    assert minutes is not None
    costs = measure(setup, task)
    left = max(60 * minutes - (time.monotonic() - started), 60 * minutes * LEAST_SHARE)
    most = setup.plan.num_steps if setup.train.epochs else None
    found = costs.fit(left * (1 - RESERVE), most=most, every=setup.train.validate_steps)
    num_steps, interval = (int(parallel.broadcast(number)) for number in found)
    length = {"minutes": None, "max_steps": num_steps, "validate_steps": interval}
    fitted = setup.with_train(setup.train.model_copy(update=length))
    budget, validations = budget_text(minutes), counted(math.ceil(num_steps / interval), "validation")
    are = "is" if minutes == 1 else "are"
    note(f"{budget} {are} {counted(num_steps, 'step')} of {costs.step:.2g} s, with {validations}")
    if num_steps < FEW_STEPS and num_steps != most:
        hint = "the machine is busy or slow; give it more minutes, or train a smaller model"
        note(f"warning: a model learns almost nothing in {counted(num_steps, 'step')}: {hint}")
    warmup = fitted.train.warmup_steps
    if 2 * warmup > num_steps:
        shorter = f"--set train.warmup_steps={max(1, num_steps // 5)} shortens the warm-up"
        note(f"the learning rate still rises until step {warmup}; {shorter}")
    return fitted


def budget_text(minutes: float) -> str:
    """Return a budget for a message: "8 minutes"."""
    return counted(int(minutes), "minute") if minutes.is_integer() else f"{minutes:g} minutes"


def measure(setup: TrainingSetup, task: TrainingTask) -> Costs:
    """Time a few steps and one batch of validation. Weights and torch's global generators keep their values."""
    network = setup.pipeline.network
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.random.fork_rng([setup.device] if setup.device.type == "cuda" else []):
        step = _step_seconds(setup, task)
        validation = _validation_seconds(setup, task)
    network.load_state_dict(weights)
    network.zero_grad(set_to_none=True)
    return Costs(step, validation)


def _step_seconds(setup: TrainingSetup, task: TrainingTask) -> float:
    """Return the mean time of some steps. The first one, which allocates memory, does not count."""
    state = State.new(setup.pipeline.network, setup.train, bf16=setup.execution.optimizer_bf16)
    times = list[float]()
    train_step(task, state, setup.train, setup.plan)
    while parallel.broadcast(
        len(times) < MIN_MEASURED or (sum(times) < MEASURED_SECONDS and len(times) < MAX_MEASURED)
    ):
        times.append(seconds(lambda: train_step(task, state, setup.train, setup.plan), setup.device))
    return mean(times)


def _validation_seconds(setup: TrainingSetup, task: TrainingTask) -> float:
    """Return the time of a validation, extrapolated from its first batch and a few sampling steps."""
    counts = list[int]()
    with evaluated(setup, State.new(setup.pipeline.network, setup.train)) as pipeline:
        with closing(task.validation_losses(pipeline.denoiser)) as batches:
            losses = seconds(lambda: counts.append(next(batches, (0.0, 1))[1]), setup.device)
        with eval_mode(pipeline.denoiser.network):
            sampling = seconds(lambda: pipeline.generate(range(NUM_SAMPLES), steps=TIMED_SAMPLING_STEPS), setup.device)
    steps = min(pipeline.sampler.steps, MAX_STEPS)
    return (
        losses * task.num_validation_losses / counts[0]
        + sampling * steps / TIMED_SAMPLING_STEPS
        + PAGE_SECONDS
        + _checkpoint_bytes(setup) / DISK
    )


def _checkpoint_bytes(setup: TrainingSetup) -> int:
    """Return the size of a checkpoint, and of the best model, which has no optimizer state."""
    network = setup.pipeline.network
    weights: int = sum(value.nbytes for value in network.state_dict().values())
    return 2 * weights * (1 + len(setup.train.ema)) + num_state_bytes(network, setup.train)
