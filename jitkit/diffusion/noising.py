"""From tokens to noised images: what is random about a batch, and the images that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.diffusion.conditioning import draw_known
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.execution.device import to_device
from jitkit.protocols import Codec, Noised, NoiseSchedule, Objective, PixelSchedule


def draw_times(schedule: NoiseSchedule, num: int, generator: torch.Generator) -> Tensor:
    """Return the times of `num` training images, [num] float32 on the CPU, or [num, 1, H, W] of a `PixelSchedule`."""
    return (
        schedule.draw_pixel_times(num, generator)
        if isinstance(schedule, PixelSchedule)
        else schedule.draw(num, generator)
    )


@dataclass(frozen=True)
class Draws:
    """The random numbers of B images, on the CPU."""

    t: Tensor  # [B] or [B, 1, H, W] float32, times
    noise: Tensor  # [B, 3, H, W] float32, standard normal
    known: Tensor | None  # [B, L] bool, known tokens; None for an objective without them

    @classmethod
    def of(
        cls, num: int, codec: Codec, schedule: NoiseSchedule, objective: Objective, generator: torch.Generator
    ) -> Draws:
        """Draw the times of `num` images, then their noise, then their known tokens, from one CPU generator."""
        t = draw_times(schedule, num, generator)
        noise = torch.randn(num, 3, codec.image_size, codec.image_size, generator=generator)
        known = draw_known(num, codec.capacity, objective.known, generator) if objective.known else None
        return cls(t, noise, known)

    @classmethod
    def of_rows(cls, t: Tensor, codec: Codec, objective: Objective, generators: Iterable[torch.Generator]) -> Draws:
        """Draw the noise and then the known tokens of each image, whose time is in `t` [B], from its own CPU generator.

        The generators may be one that is seeded again for each image.
        """
        noise, known = torch.empty(len(t), 3, codec.image_size, codec.image_size), list[Tensor]()
        for image, generator in zip(noise, generators, strict=True):
            image.normal_(generator=generator)
            if objective.known:
                known.append(draw_known(1, codec.capacity, objective.known, generator))
        return cls(t, noise, torch.cat(known) if known else None)

    def rows(self, rows: Sequence[int]) -> Draws:
        """Return the draws of some images."""
        if rows == [*range(len(self.t))]:
            return self
        return Draws(self.t[rows], self.noise[rows], None if self.known is None else self.known[rows])


def noised_images(
    tokens: Tensor, draws: Draws, *, codec: Codec, schedule: NoiseSchedule, device: torch.device | str
) -> Noised:
    """Return `tokens` [B, L] int64 as noised images on `device`."""
    tokens = to_device(tokens, device)
    x = codec.encode(tokens)
    t = to_device(draws.t, device)
    noise = to_device(draws.noise, device) * schedule.noise_scale
    z = interpolate(x, noise, levels_at(schedule, t))
    if draws.known is None:
        return Noised(tokens, x, noise, t, z)
    known = codec.pixel_mask(to_device(draws.known, device))
    return Noised(tokens, x, noise, t, torch.where(known, x, z), known.float())


def draw_noised(
    tokens: Tensor,
    *,
    codec: Codec,
    schedule: NoiseSchedule,
    objective: Objective,
    generator: torch.Generator,
    device: torch.device | str,
) -> Noised:
    """Return `tokens` [B, L] int64 as noised images on `device`, all drawn from one CPU generator."""
    draws = Draws.of(len(tokens), codec, schedule, objective, generator)
    return noised_images(tokens, draws, codec=codec, schedule=schedule, device=device)
