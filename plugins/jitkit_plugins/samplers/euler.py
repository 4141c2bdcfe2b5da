"""Euler's method."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit_plugins.samplers.walk import Guide, Walk


class Euler(Walk):
    """First order, one evaluation a step: follow the velocity at the beginning of the step."""

    name: ClassVar[str] = "euler"
    order: ClassVar[int] = 1

    def step(self, guide: Guide, z: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """Return ``z + dt v(z, t)``."""
        return z + (t_next - t) * guide.velocity(z, t)
