"""Batches of training. Batch k and its randomness are a pure function of (seed, k), so resuming needs no loader state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.data.windows import Windows
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.diffusion.training_pass import draw_noised
from jitkit.protocols import Noised


@dataclass(frozen=True)
class Batch:
    """The images of one optimizer step."""

    starts: list[int]  # position of the first token of each window in the training text
    noised: Noised
    condition: Tensor | None  # [B]: guidance scale of self-conditioning, 0 = no estimate; None = no such input

    def parts(self, num: int) -> Iterator[tuple[Noised, Tensor | None]]:
        """Yield `num` equal parts, for gradient accumulation. Randomness is drawn for the whole batch."""
        size = len(self.starts) // num
        for first in range(0, len(self.starts), size):
            rows = slice(first, first + size)
            yield self.noised.rows(rows), None if self.condition is None else self.condition[rows]


def draw_batch(
    step: int, *, seed: int, batch_size: int, windows: Windows, denoiser: Denoiser, device: torch.device
) -> Batch:
    """Return the batch of step `step` (from 0): windows, times, noise, known pixels, and self-conditioning."""
    starts = windows.batch_starts(seed, step, batch_size)
    generator = step_generator(seed, step)
    noised = draw_noised(
        windows.tokens(starts),
        codec=denoiser.codec,
        schedule=denoiser.schedule,
        objective=denoiser.objective,
        generator=generator,
        device=device,
    )
    condition = draw_self_conditioning(
        batch_size, objective=denoiser.objective, guidance=denoiser.guidance, generator=generator
    )
    return Batch(starts, noised, condition)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return a CPU generator seeded by (seed, step)."""
    digest = hashlib.sha256(f"jitkit step {seed} {step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
