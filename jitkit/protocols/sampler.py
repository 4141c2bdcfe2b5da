"""From noise to an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from jitkit.protocols.noise_schedule import NoiseSchedule


class Denoise(Protocol):
    """The view of a model that samplers have, see `jitkit.diffusion.denoiser.Denoiser`."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The path that the model was trained on."""

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return `x_hat` [B, 3, H, W] from `z` [B, 3, H, W] at times `t` [B]; `x_prev` is the previous estimate."""


@dataclass(frozen=True)
class Step:
    """The argument of `on_step` after each step."""

    index: int  # 0 .. num_steps - 1
    num_steps: int
    t: float  # the time at the end of the step
    z: Tensor  # [B, 3, H, W] at that time
    x_hat: Tensor  # [B, 3, H, W], the last estimate of the step


@runtime_checkable
class Sampler(Protocol):
    """Integrates from noise (t = 0) forward to an image (t = 1): the table `[sampler]`.

    Requirements: an oracle denoiser is recovered exactly; on a Gaussian with its exact posterior mean the sampler
    converges with the declared order; times only increase; `on_step` is called once per step; the same noise gives the
    same image; an image does not depend on its neighbors in the batch.
    """

    name: ClassVar[str]

    @property
    def distillable(self) -> bool:
        """Whether each step is one plain Euler step with one evaluation, which is what distillation trains a student for."""

    @property
    def steps(self) -> int:
        """Number of steps from noise to image."""

    @property
    def order(self) -> int | None:
        """Declared order of convergence in the number of steps; None for a stochastic sampler."""

    def sample(
        self,
        denoise: Denoise,
        z: Tensor,
        grid: Tensor,
        *,
        fresh_noise: Callable[[], Tensor],
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Return the image [B, 3, H, W] at the end of the sampling trajectory over `grid`.

        `grid` [n + 1] rises from the time of `z` (0 for pure noise) to 1. `fresh_noise()` returns new noise shaped like
        `z` with standard deviation noise_scale; deterministic samplers never call it. Each estimate is passed to the
        next evaluation as `x_prev`. The last step ends at `x_hat`, like an Euler step on the flow path.
        """
