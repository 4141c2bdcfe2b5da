"""A training step and its parts."""

from __future__ import annotations

from collections.abc import Callable

from jitkit.bench.ceiling import Ceiling, ceiling_shares
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Laps, Spread, as_json, measure_seconds
from jitkit.execution.cpu_tuning import denormals_are_zero
from jitkit.execution.device import seconds
from jitkit.training.step import train_step
from jitkit.training.tasks.denoising import Prefetcher
from jitkit.training.tasks.task import Lap, TrainingTask, no_lap

PARTS = ("data", "forward", "backward", "optimizer")
CONSECUTIVE = 10  # steps that a GPU takes in one measurement, as in training


def measure_training(target: BenchmarkTarget, ceiling: Ceiling) -> dict[str, object]:
    """Return the seconds of a step and of its parts, and its throughput. The weights change, as in training.

    Timing the parts synchronizes the device after each. Training synchronizes a GPU once per step and prefetches the next
    batch meanwhile, so there the step is measured without its parts and takes less than their sum.
    """
    target.pipeline.denoiser.network.train()
    expected, execution = target.estimate, target.setup.execution
    parts = ceiling.compare(lambda: step_parts(target), execution.precision)
    steps = [(sum(times.values()), flops) for times, flops in parts]
    if target.device.type != "cpu":
        steps = ceiling.compare(consecutive_steps(target, target.task()), execution.precision)
    step = Spread.of([taken for taken, _ in steps])
    return as_json(
        step_seconds=step,
        tokens_per_second=step.rate(expected.tokens_per_step),
        images_per_second=step.rate(expected.batch_size),
        **{part: Spread.of([times[part] for times, _ in parts]) for part in PARTS},
        finite_check=measure_seconds(target.state.norm, target.device),
        **ceiling_shares(expected.training_flops * expected.batch_size, steps),
        flops_per_step=expected.training_flops * expected.batch_size,
        precision=execution.precision,
        compile="on" if execution.compiled else "off",
    )


def step_parts(target: BenchmarkTarget) -> dict[str, float]:
    """Take a step; return the seconds of each part."""
    laps = Laps(target.device)
    take_step(target, target.task(Prefetcher(target.setup.batch, ahead=False), laps), laps)
    return laps.seconds


def consecutive_steps(target: BenchmarkTarget, task: TrainingTask) -> Callable[[], float]:
    """Return a function that takes several steps and returns the seconds of one."""

    def take_steps() -> None:
        for _ in range(CONSECUTIVE):
            take_step(target, task)

    return lambda: seconds(take_steps, target.device) / CONSECUTIVE


@denormals_are_zero()
def take_step(target: BenchmarkTarget, task: TrainingTask, lap: Lap = no_lap) -> None:
    """Take a training step."""
    train_step(task, target.state, target.setup.train, target.setup.plan, lap=lap)
