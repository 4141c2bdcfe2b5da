"""A training step and its parts."""

from __future__ import annotations

import math
import time
from itertools import count

from torch import nn

from jitkit.bench.subject import Subject
from jitkit.bench.timing import Spread, as_json, repeatedly
from jitkit.diffusion.loss import diffusion_loss
from jitkit.execution.denormals import denormals_are_zero
from jitkit.execution.device import synchronise
from jitkit.training.optim import learning_rate

PARTS = ("data", "forward", "backward", "optimizer")


def measure_training(subject: Subject) -> dict[str, object]:
    """Return seconds of a step and of its parts, and what the step achieves. The weights move, as in training."""
    subject.denoiser.network.train()
    steps = count()
    times = repeatedly(lambda: take_step(subject, next(steps)))
    step = Spread.of([sum(parts.values()) for parts in times])
    found = subject.estimate
    return as_json(
        step_seconds=step,
        tokens_per_second=step.per(found.tokens_per_step),
        images_per_second=step.per(found.batch_size),
        flops=step.per(found.training_flops * found.batch_size),
        **{part: Spread.of([parts[part] for parts in times]) for part in PARTS},
        flops_per_step=found.training_flops * found.batch_size,
        precision=subject.execution.precision,
        compile="on" if subject.execution.compiled else "off",
    )


@denormals_are_zero()
def take_step(subject: Subject, step: int) -> dict[str, float]:
    """Take a step as `jitkit.training.loop` does; return the seconds of each part, the device waited for in between.

    What a schedule learns from the step is left out.
    """
    train, state = subject.components.manifest.train, subject.state
    spent = dict.fromkeys(PARTS, 0.0)
    started = time.perf_counter()

    def finished(part: str) -> None:
        nonlocal started
        synchronise(subject.device)
        now = time.perf_counter()
        spent[part] += now - started
        started = now

    batch = subject.batch(step)
    finished("data")
    state.optimizer.zero_grad()
    finished("optimizer")
    for part, condition in batch.parts(train.accumulate):
        loss = diffusion_loss(subject.denoiser, part, condition=condition).sum() / train.batch_size
        finished("forward")
        loss.backward()  # type: ignore[no-untyped-call]
        finished("backward")
    nn.utils.clip_grad_norm_(state.network.parameters(), train.clip_norm or math.inf)
    plan = subject.plan
    last = min(step, plan.num_steps - 1)  # a run may be shorter than what is measured
    state.advance(learning_rate(last, train, num_steps=plan.num_steps, steps_per_epoch=plan.steps_per_epoch))
    finished("optimizer")
    return spent
