"""A step of the sampler and a whole text, as `jitkit generate` runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from jitkit.bench.ceiling import Ceiling, shares
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, repeated
from jitkit.execution.device import seconds

STEPS = 2  # of the short walk whose steps are timed


def measure_sampling(
    target: BenchmarkTarget, ceiling: Ceiling, note: Callable[[str], None] = warnings.warn
) -> dict[str, object]:
    """Return seconds of a sampler's step over as many images as a training batch has, and of one whole text by itself."""
    pipeline, num_images = target.pipeline.prepared(note), target.estimate.batch_size
    network, walks, shown = pipeline.denoiser.network, 0, 0  # and not what may be compiled: counting would be, too

    def look(_: object, inputs: tuple[Any, ...], __: object) -> None:
        nonlocal shown
        shown += len(inputs[0])

    def walk() -> None:
        nonlocal walks
        walks += 1
        pipeline.generate(range(num_images), steps=STEPS)

    with network.register_forward_hook(look):
        against = ceiling.beside(lambda: seconds(walk, target.device) / STEPS, target.execution.precision)
    evaluated = shown / walks / STEPS  # images a step, twice that of the batch where an estimate takes two
    step = Spread.of([taken for taken, _ in against])
    text = repeated(lambda: pipeline.generate([0]), target.device)
    return as_json(
        step_seconds=step,
        images_per_second=step.per(num_images / pipeline.sampler.steps),
        **shares(target.estimate.forward_flops * evaluated, against),
        text_seconds=text,
        batch_size=num_images,
        steps=pipeline.sampler.steps,
        evaluations_per_step=evaluated / num_images,
    )
