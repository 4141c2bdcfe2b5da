"""The path from noise to data, where on it the model trains, and where it samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Levels(NamedTuple):
    """The path at times t: ``z = alpha x + sigma noise``, and the derivatives by t. All have the shape of t."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


@runtime_checkable
class NoiseSchedule(Protocol):
    """A path, a density of t and a grid: the table `[schedule]`. **t = 0 is noise, t = 1 is data.**

    ``noise ~ N(0, I) * noise_scale``. Laws: (alpha, sigma) is (0, 1) at t = 0 and (1, 0) at t = 1; alpha / sigma rises
    strictly; the derivatives equal finite differences; draws lie in (0, 1) and follow the generator; the grid rises
    strictly from exactly 0 to exactly 1 and has the quantiles of the density that `draw` samples.
    """

    name: ClassVar[str]

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise that starts the path."""
        ...

    def levels(self, t: Tensor) -> Levels:
        """Return the path at `t` (any shape, float, in [0, 1])."""
        ...

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` training times [num] float32 on the CPU."""
        ...

    def grid(self, num_steps: int) -> Tensor:
        """Return the sampling times t[0..num_steps], float32 on the CPU, t[0] = 0 and t[num_steps] = 1."""
        ...
