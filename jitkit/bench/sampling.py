"""A sampling step and a whole text, run as in `jitkit generate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitkit.bench.ceiling import Ceiling, ceiling_shares
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, measure_seconds
from jitkit.execution.device import seconds

STEPS = 2  # of the short sampling trajectory that is timed


def measure_sampling(target: BenchmarkTarget, ceiling: Ceiling, note: Callable[[str], None]) -> dict[str, object]:
    """Return the seconds of a sampling step with as many images as a training batch, and of one whole text."""
    pipeline, num_images = target.pipeline.prepared(note), target.estimate.batch_size
    num_runs, num_inputs = 0, 0

    def count_inputs(_: object, inputs: tuple[Any, ...], __: object) -> None:
        nonlocal num_inputs
        num_inputs += len(inputs[0])

    def sample() -> None:
        nonlocal num_runs
        num_runs += 1
        pipeline.generate(range(num_images), steps=STEPS)

    # The hook is on the runtime network: inside, it would be compiled as well.
    with pipeline.denoiser.network.register_forward_hook(count_inputs):
        measured = ceiling.compare(lambda: seconds(sample, target.device) / STEPS, target.setup.execution.precision)
    inputs_per_step = num_inputs / num_runs / STEPS  # twice the number of images if an estimate takes two passes
    step = Spread.of([taken for taken, _ in measured])
    return as_json(
        step_seconds=step,
        images_per_second=step.rate(num_images / pipeline.sampler.steps),
        **ceiling_shares(target.estimate.forward_flops * inputs_per_step, measured),
        text_seconds=measure_seconds(lambda: pipeline.generate([0]), target.device),
        batch_size=num_images,
        steps=pipeline.sampler.steps,
        evaluations_per_step=inputs_per_step / num_images,
    )
