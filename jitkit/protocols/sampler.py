"""From noise to an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from jitkit.protocols.noise_schedule import NoiseSchedule


class Denoise(Protocol):
    """What a sampler sees of a model: see `jitkit.diffusion.denoiser.Denoiser`."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The path that the model was trained on."""
        ...

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return `x_hat` [B, 3, H, W] from `z` [B, 3, H, W] at times `t` [B]; `x_prev` is the previous estimate."""
        ...


@dataclass(frozen=True)
class Step:
    """What `on_step` is told after each step."""

    index: int  # 0 .. num_steps - 1
    num_steps: int
    t: float  # the time that was reached
    z: Tensor  # [B, 3, H, W] at that time
    x_hat: Tensor  # [B, 3, H, W], the estimate that led there


@runtime_checkable
class Sampler(Protocol):
    """Walks from noise (t = 0) forward to an image (t = 1): the table `[sampler]`.

    Laws: an oracle denoiser is recovered exactly; on a Gaussian with its exact posterior mean the walk converges with
    the declared order; times only rise; one call of `on_step` a step; the same noise gives the same image; an image does
    not depend on its neighbours in the batch.
    """

    name: ClassVar[str]

    @property
    def steps(self) -> int:
        """Number of steps of a whole walk."""
        ...

    @property
    def order(self) -> int | None:
        """Declared order of convergence in the number of steps; None for a random walk."""
        ...

    def sample(
        self,
        denoise: Denoise,
        z: Tensor,
        grid: Tensor,
        *,
        fresh_noise: Callable[[], Tensor],
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Return the image [B, 3, H, W] that the walk over `grid` ends on.

        `grid` [n + 1] rises from the time of `z` (0 for pure noise) to 1. `fresh_noise()` returns new noise shaped like
        `z`, standard deviation noise_scale; deterministic samplers never call it. The estimate is carried from step to
        step as `x_prev`; the last step lands on `x_hat`, which is an Euler step of the flow path.
        """
        ...
