"""A training step and its parts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import count

import torch
from torch import nn

from jitkit.bench.ceiling import Ceiling, shares
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json
from jitkit.diffusion.loss import diffusion_loss
from jitkit.execution.denormals import denormals_are_zero
from jitkit.execution.determinism import deterministic
from jitkit.execution.device import seconds, synchronise
from jitkit.training.optim.optimizer import learning_rate
from jitkit.training.prefetch import Prefetcher

PARTS = ("data", "forward", "backward", "optimizer")
IN_A_ROW = 10  # steps that a GPU takes without being waited for in between, as in training


def measure_training(target: BenchmarkTarget, ceiling: Ceiling) -> dict[str, object]:
    """Return seconds of a step and of its parts, and what the step achieves. The weights move, as in training.

    The device is waited for after each part. A GPU, which training never waits for but once a step, also takes steps in a
    row, with the next batch drawn meanwhile: there a step takes less than its parts.
    """
    target.denoiser.network.train()
    steps, precision = count(), target.execution.precision
    times = ceiling.beside(lambda: take_step(target, next(steps)), precision)
    against = [(sum(parts.values()), most) for parts, most in times]
    if target.device.type != "cpu":
        against = ceiling.beside(in_a_row(target, feed_of(target)), precision)
    step, found = Spread.of([taken for taken, _ in against]), target.estimate
    return as_json(
        step_seconds=step,
        tokens_per_second=step.per(found.tokens_per_step),
        images_per_second=step.per(found.batch_size),
        **{part: Spread.of([parts[part] for parts, _ in times]) for part in PARTS},
        **shares(found.training_flops * found.batch_size, against),
        flops_per_step=found.training_flops * found.batch_size,
        precision=target.execution.precision,
        compile="on" if target.execution.compiled else "off",
    )


def in_a_row(target: BenchmarkTarget, feed: Prefetcher) -> Callable[[], float]:
    """Return what measures the seconds of a step of several, which the device is not waited for between."""
    steps = count()

    def take_some() -> None:
        for _ in range(IN_A_ROW):
            take_step(target, next(steps), feed)

    return lambda: seconds(take_some, target.device) / IN_A_ROW


def feed_of(target: BenchmarkTarget) -> Prefetcher:
    """Return the batches as training gets them."""
    return Prefetcher.of_training(target.batch, target.denoiser.schedule, target.device)


@denormals_are_zero()
def take_step(target: BenchmarkTarget, step: int, feed: Prefetcher | None = None) -> dict[str, float]:
    """Take a step as `jitkit.training.trainer` does; return the seconds of each part, the device waited for in between.

    With a `feed` the device is waited for once, where training does, and the parts say nothing. What a schedule learns
    from the step is left out.
    """
    train, state = target.components.manifest.train, target.state
    spent = dict.fromkeys(PARTS, 0.0)
    started = time.perf_counter()

    def finished(part: str) -> None:
        nonlocal started
        if feed is None:
            synchronise(target.device)
        now = time.perf_counter()
        spent[part] += now - started
        started = now

    batch = feed.batch(step) if feed else target.batch(step)
    finished("data")
    state.optimizer.zero_grad()
    finished("optimizer")
    losses = []
    for part, condition in batch.parts(train.accumulate):
        loss = diffusion_loss(target.denoiser, part, condition=condition).sum() / train.batch_size
        finished("forward")
        with deterministic(target.device):
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        finished("backward")
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), train.clip_norm or math.inf)
    if feed:
        feed.prefetch(step + 1)
    torch.stack((torch.stack(losses).sum(), norm.to(losses[0]))).tolist()  # training looks at them before it moves
    plan = target.plan
    last = min(step, plan.num_steps - 1)  # a run may be shorter than what is measured
    state.advance(learning_rate(last, train, num_steps=plan.num_steps, steps_per_epoch=plan.steps_per_epoch))
    finished("optimizer")
    return spent
