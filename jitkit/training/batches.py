"""Batches of training. Batch k and its randomness are a pure function of (seed, k), so resuming needs no loader state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from jitkit.data.windows import Windows
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.noising import Draws, draw_times, noised_images
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.execution.device import to_device
from jitkit.manifest.schema import Train
from jitkit.parallel.passes import Pass, Share
from jitkit.protocols import Noised


@dataclass(frozen=True)
class Batch:
    """The images of one optimizer step that a process computes."""

    starts: Callable[[], list[int]]  # returns the position of the first token of each window of the whole batch
    t: Tensor  # [B] times of the whole batch
    noised: Noised  # the images of this process
    condition: (
        Tensor | None
    )  # of these images: guidance scale of self-conditioning, 0 = no estimate; None = no such input
    share: Share

    def passes(self) -> Iterator[tuple[Pass, Noised, Tensor | None]]:
        """Yield the passes of this process with their images."""
        for one in self.share.passes():
            rows = slice(one.rows.start, one.rows.stop)
            yield one, self.noised.rows(rows), None if self.condition is None else self.condition[rows]


def draw_batch(
    step: int, *, train: Train, share: Share, windows: Windows, denoiser: Denoiser, device: torch.device
) -> Batch:
    """Return the batch of step `step` (from 0): windows, times, noise, known pixels, and self-conditioning.

    Noise and known tokens, which are large, are drawn from a generator for each row of the batch, so a process draws only
    its own. With `train.draws` = "batch" they are drawn for the whole batch, as in earlier versions.
    """
    rows, starts_of = share.rows, partial(windows.batch_starts, train.seed, step, train.batch_size)
    generator = step_generator(train.seed, step)
    if train.draws == "batch":
        draws = Draws.of(train.batch_size, denoiser.codec, denoiser.schedule, denoiser.objective, generator)
        t, draws = draws.t, draws.rows(rows)
    else:
        t = draw_times(denoiser.schedule, train.batch_size, generator)
        generators = row_generators(train.seed, step, rows)
        draws = Draws.of_rows(t[rows], denoiser.codec, denoiser.objective, generators)
    condition = draw_self_conditioning(
        train.batch_size, objective=denoiser.objective, guidance=denoiser.guidance, generator=generator
    )
    tokens = windows.tokens(starts_of(rows))
    noised = noised_images(tokens, draws, codec=denoiser.codec, schedule=denoiser.schedule, device=device)
    return Batch(starts_of, to_device(t, device), noised, None if condition is None else condition[rows], share)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return a CPU generator seeded by (seed, step)."""
    return torch.Generator().manual_seed(_seed(f"jitkit step {seed} {step}"))


def row_generators(seed: int, step: int, rows: Iterable[int]) -> Iterator[torch.Generator]:
    """Yield a CPU generator seeded by (seed, step, row) for each image in `rows`. It is the same one, seeded again."""
    generator = torch.Generator()
    for row in rows:
        yield generator.manual_seed(_seed(f"jitkit row {seed} {step} {row}"))


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
