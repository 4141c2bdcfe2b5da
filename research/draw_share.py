"""Measure how long the processes of a run take to draw the noise of a batch: python -m research.draw_share [BATCH [WORLD]]

With `train.draws = "rows"`, each process draws the rows that it computes. With "batch", as in version 0.1, each draws all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

from jitkit.assembly import assemble
from jitkit.diffusion.noising import Draws
from jitkit.recipe import open_recipe
from jitkit.training.batches import row_generators, step_generator

ROUNDS = 15


def main(batch_size: int = 1024, world: int = 8) -> None:
    """Print the CPU time that one process takes for the whole batch, and each of `world` processes for its share."""
    pipeline = assemble(open_recipe("jit-b4", overrides=["backbone.depth=1"]))
    codec, schedule, objective = pipeline.codec, pipeline.denoiser.schedule, pipeline.denoiser.objective
    t, share = schedule.draw(batch_size, step_generator(0, 0)), batch_size // world
    parts = [range(first, first + share) for first in range(0, batch_size, share)]

    def draw_batch() -> None:
        Draws.of(batch_size, codec, schedule, objective, step_generator(0, 0))

    def draw_rows(rows: range) -> None:
        Draws.of_rows(t[rows.start : rows.stop], codec, objective, row_generators(0, 0, rows))

    rounds = [[seconds(draw_batch), *(seconds(draw_rows, part) for part in parts)] for _ in range(ROUNDS)]
    whole, *each = map(median, zip(*rounds, strict=True))
    sys.stdout.write(f"batch: {whole:.4f} s; rows, {world} processes: {min(each):.4f} to {max(each):.4f} s\n")


def seconds(draw: Callable[..., None], *arguments: range) -> float:
    """Return the CPU time of a call."""
    started = time.process_time()
    draw(*arguments)
    return time.process_time() - started


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
