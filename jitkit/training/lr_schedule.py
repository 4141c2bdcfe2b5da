"""The learning rate of each step."""

from __future__ import annotations

import math

from jitkit.manifest.schema import Train


def learning_rate(step: int, train: Train, *, num_steps: int, steps_per_epoch: int) -> float:
    """Return the learning rate of step `step` (0 .. num_steps - 1).

    Decay takes the last `decay_fraction` of the run but starts no earlier than the end of the warm-up. It would reach zero
    one step after the last, so every step changes the weights.
    """
    warmup = train.warmup_steps or round(train.warmup_epochs * steps_per_epoch)
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    start = max(warmup, round(num_steps * (1 - train.decay_fraction)))
    progress = max(0, step - start) / max(1, num_steps - start)
    falling = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}[train.decay]
    return train.lr * rising * falling
